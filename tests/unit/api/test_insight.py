"""What the scheduler knows of waiting tasks reaches those who look, and costs it little however many they are."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import cast

import pytest

from comfymesh.api.errors import RefusedError
from comfymesh.api.insight import MOST_TASKS, Insight
from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.scheduler.answering import Answering
from comfymesh.scheduler.domain.events import TaskChanged
from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.lanes import Family, Group, Lane, Waiting
from comfymesh.scheduler.domain.views import Estimate, Explanation
from comfymesh.tasks.record import Key, ModelFile, Requirements
from comfymesh.testkit import tasks
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.wire.v1 import scheduling_pb2

KEY = Key("default", "one")
MODEL = Requirements((), (ModelFile("Loader", "name", "m"),))


class Core:
    """A scheduler's core that can be looked at, and the process around it that answers."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.waiting = {KEY: Explanation("busy", 4, {"busy": 3, "vram": 1}, Place("a", "x"), Estimate(30, 5))}
        self.questions: list[scheduling_pb2.SchedulingQuestion] = []
        self.silent = False
        self.answers: list[asyncio.Task[None]] = []

    def explain(self, key: Key, now: float) -> Explanation | None:  # noqa: ARG002  # the contract's
        return self.waiting.get(key)

    def start(self, task: Waiting, now: float) -> Estimate | None:
        return Estimate(task.fifo - task.run - now, 5)

    def tasks(self) -> list[TaskChanged | Waiting]:
        held = tasks.after(tasks.queued("held", key=Key("b", "held"), priority=3, requirements=MODEL), tasks.assigned())
        few = Waiting(Key("a", "w"), 1, Group(Requirements(), Family(()), ()), -1, 10.0)
        family = Group(MODEL, Family(("m",)), ())
        many = [Waiting(Key("b", f"w{number}"), 1, family, 3, 5.0 + number) for number in range(5)]
        for number, task in enumerate(many[1:]):  # the first of them stands nowhere: nothing is known of when it begins
            task.lane, task.fifo, task.run = cast("Lane", object()), 100.0 - number, 2.0
        return [few, *many, TaskChanged(held, 1), TaskChanged(held, 2)]

    def hear(self, message: Message) -> None:
        self.questions.append(scheduling_pb2.SchedulingQuestion.FromString(message.data))
        if not self.silent:
            self.answers.append(asyncio.get_running_loop().create_task(self.answer(message.data)))

    async def answer(self, data: bytes) -> None:
        answered = await Answering(self, lambda: 0.0).answer(data)
        assert answered is not None
        await self.bus.publish(answered[0], answered[1].SerializeToString())


@pytest.fixture
async def core() -> Core:
    bus = MemoryBus()
    core = Core(bus)
    await bus.subscribe(subjects.SCHEDULING_QUESTIONS, core.hear)
    return core


@pytest.fixture
async def insight(core: Core) -> AsyncIterator[Insight]:
    insight = Insight(core.bus, asyncio.get_running_loop().time)
    running = asyncio.create_task(insight.run())
    await asyncio.sleep(0)
    yield insight
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_why_a_task_waits_and_for_how_long(core: Core, insight: Insight) -> None:
    told = await insight.waiting(KEY)
    assert told is not None
    assert (told.reason, told.instance_count, dict(told.rejected)) == ("busy", 4, {"busy": 3, "vram": 1})
    assert (told.node, told.instance) == ("nodes/a", "x")
    assert (told.start.remaining.ToSeconds(), told.start.error.ToSeconds()) == (30, 5)
    assert not told.HasField("end")


async def test_what_was_said_long_ago_is_not_said_again(core: Core, insight: Insight) -> None:
    assert await insight.waiting(KEY) is not None
    core.silent = True
    await asyncio.sleep(5)
    assert insight.glance(KEY) is not None, "a scheduler may be silent for a moment"
    await asyncio.sleep(600)
    assert (insight.glance(KEY), await insight.waiting(KEY)) == (None, None)


async def test_a_task_that_does_not_wait_has_no_reason_to(core: Core, insight: Insight) -> None:
    assert await insight.waiting(Key("default", "other")) is None


async def test_many_who_look_cost_few_questions(core: Core, insight: Insight) -> None:
    keys = [Key("default", f"t{number}") for number in range(100)]
    core.waiting = {key: Explanation("busy", 1) for key in keys}
    told = await asyncio.gather(*(insight.waiting(key) for key in keys for _ in range(5)))
    assert all(told)
    assert len(core.questions) <= 2
    await asyncio.gather(*(insight.waiting(key) for key in keys))
    assert len(core.questions) <= 2, "what was just told is still good"


async def test_a_question_is_bounded_and_who_finds_no_room_goes_without(core: Core, insight: Insight) -> None:
    told = await asyncio.gather(*(insight.waiting(Key("default", f"t{n}")) for n in range(3 * MOST_TASKS)))
    assert max(len(question.tasks) for question in core.questions) <= MOST_TASKS
    assert told == [None] * len(told)


async def test_without_a_scheduler_looking_takes_no_longer_than_a_moment(core: Core, insight: Insight) -> None:
    loop, core.silent = asyncio.get_running_loop(), True
    began = loop.time()
    assert await insight.waiting(KEY) is None
    assert loop.time() - began < 0.2
    await asyncio.sleep(1)
    began = loop.time()
    assert await insight.waiting(KEY) is None
    assert loop.time() == began, "nobody waits twice for one that does not answer"
    core.silent = False
    await asyncio.sleep(1)
    assert insight.glance(KEY) is not None, "it was asked for meanwhile"


async def test_what_was_told_is_asked_again_after_a_while(core: Core, insight: Insight) -> None:
    await insight.waiting(KEY)
    core.waiting = {}
    await asyncio.sleep(3)
    assert insight.glance(KEY) is not None, "the last that is known, at once"
    await asyncio.sleep(0.1)
    assert insight.glance(KEY) is None


async def test_a_late_answer_is_not_taken_for_that_to_another_question(core: Core, insight: Insight) -> None:
    core.silent = True
    await insight.waiting(KEY)
    await asyncio.sleep(1)
    (question,) = core.questions
    late = scheduling_pb2.SchedulingAnswer(number=question.number)
    await core.bus.publish(question.reply_to, late.SerializeToString())
    await core.bus.publish(question.reply_to, b"\xff\xff")
    core.silent = False
    assert (await insight.queue()).total.waiting_count == 6


async def test_the_queue_longest_first(core: Core, insight: Insight) -> None:
    queue = await insight.queue()
    assert [(share.tenant, share.waiting_count, share.running_count) for share in queue.tenants] == [
        ("b", 5, 2),
        ("a", 1, 0),
    ]
    assert [share.priority for share in queue.priorities] == [3, -1]
    assert [list(share.models) for share in queue.model_sets] == [["m"], []]
    assert (queue.total.waiting_count, queue.total.running_count) == (6, 2)
    parts = [queue.total, *queue.tenants, *queue.priorities, *queue.model_sets]
    begins = [share.start.remaining.seconds if share.HasField("start") else None for share in parts]
    assert begins == [95, 95, None, 95, None, 95, None], "of the next in each part"
    assert queue.tenants[0].oldest_create_time.ToSeconds() == 5


async def test_without_a_scheduler_there_is_no_queue_to_show(core: Core, insight: Insight) -> None:
    core.silent = True
    with pytest.raises(RefusedError) as refused:
        await insight.queue()
    assert (refused.value.status_code.name, refused.value.reason) == ("UNAVAILABLE", "SCHEDULER_UNAVAILABLE")


async def test_while_the_bus_is_away_nobody_is_kept_waiting_and_nothing_ends(core: Core, insight: Insight) -> None:
    with core.bus.away():
        assert await insight.waiting(KEY) is None
    assert (await insight.queue()).total.waiting_count == 6


@pytest.mark.parametrize("reply_to", ["", "task.default.one", "told.*", "told.>", "told.x y", "told.a.b"])
async def test_an_answer_goes_only_where_answers_go(reply_to: str) -> None:
    question = scheduling_pb2.SchedulingQuestion(reply_to=reply_to, queue=True)
    assert await Answering(Core(MemoryBus()), lambda: 0.0).answer(question.SerializeToString()) is None


async def test_a_question_that_can_not_be_read_has_no_answer() -> None:
    assert await Answering(Core(MemoryBus()), lambda: 0.0).answer(b"\xff\xff") is None


async def test_a_long_queue_is_summed_up_in_pieces_and_once_for_many_who_ask(core: Core) -> None:
    loop, made = asyncio.get_running_loop(), 0
    long = core.tasks()[:1] * 10_000

    def tasks_of_the_core() -> list[TaskChanged | Waiting]:
        nonlocal made
        made += 1
        return long

    core.tasks = tasks_of_the_core  # type: ignore[method-assign]
    ticks = itertools.count()
    answering = Answering(core, lambda: float(next(ticks)))
    question = scheduling_pb2.SchedulingQuestion(reply_to="told.ab", queue=True).SerializeToString()
    asking = [loop.create_task(answering.answer(question)) for _ in range(5)]
    turns = 0
    while not all(task.done() for task in asking):
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 5, "others had their turns meanwhile"
    assert made == 1
    answered = asking[-1].result()
    assert answered is not None
    assert answered[1].queue.total.waiting_count == 10_000
