"""What the scheduler knows of waiting tasks reaches those who look, and costs it little however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from comfymesh.api.errors import RefusedError
from comfymesh.api.insight import MOST_TASKS, Insight
from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.scheduler.answering import answer
from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.views import Estimate, Explanation, QueueOverview, Share
from comfymesh.tasks.record import Key
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.wire.v1 import scheduling_pb2

KEY = Key("default", "one")


class Core:
    """A scheduler's core that can be looked at, and the process around it that answers."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.waiting = {KEY: Explanation("busy", 4, {"busy": 3, "vram": 1}, Place("a", "x"), Estimate(30, 5))}
        self.questions: list[scheduling_pb2.SchedulingQuestion] = []
        self.silent = False

    def explain(self, key: Key, now: float) -> Explanation | None:  # noqa: ARG002  # the contract's
        return self.waiting.get(key)

    def overview(self, now: float) -> QueueOverview:  # noqa: ARG002  # the contract's
        few, many = Share(1, 0, 10.0), Share(5, 2, 5.0, Estimate(3, 1))
        return QueueOverview(Share(6, 2), {"a": few, "b": many}, {-1: few, 3: many}, {(): few, ("m",): many})

    def hear(self, message: Message) -> None:
        self.questions.append(scheduling_pb2.SchedulingQuestion.FromString(message.data))
        answered = answer(message.data, self, 0.0)
        if answered is not None and not self.silent:
            asyncio.get_running_loop().create_task(self.bus.publish(answered[0], answered[1].SerializeToString()))


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
    assert queue.tenants[0].start.remaining.ToSeconds() == 3
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
def test_an_answer_goes_only_where_answers_go(reply_to: str) -> None:
    question = scheduling_pb2.SchedulingQuestion(reply_to=reply_to, queue=True)
    assert answer(question.SerializeToString(), Core(MemoryBus()), 0.0) is None


def test_a_question_that_can_not_be_read_has_no_answer() -> None:
    assert answer(b"\xff\xff", Core(MemoryBus()), 0.0) is None
