"""Prompts that an earlier life of the agent left behind: who they are, which are stopped, and which wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from comfymesh.agent import leftovers
from comfymesh.agent.comfyui.control import Standing
from comfymesh.tasks.events import Assigned, CancelRequested, Event, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, prompt_id
from comfymesh.testkit.benches import INSTANCE, NODE, Bench, prompt_of
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned, failed

ONE = Key("default", "one")
OURS, ELSEWHERE = Assigned(NODE, INSTANCE), Assigned("b", "y")
AGAIN = failed(FailureClass.INSTANCE_LOST)


async def left(bench: Bench, extra_data: dict[str, Any] | None = None, prompt: str = "") -> None:
    """A prompt is there that runs; by default the first attempt of task one."""
    prompt = prompt or prompt_of()
    bench.session.http.there = {prompt: leftovers.mark(ONE, 1) if extra_data is None else extra_data}
    bench.session.standing[prompt] = Standing.RUNNING
    await bench.leftovers.find()


@pytest.mark.parametrize("readable", [64, 63, 4, 1])
async def test_a_history_that_is_too_large_is_read_in_part(bench: Bench, readable: int) -> None:
    bench.session.http.readable = readable
    await left(bench)
    assert bench.leftovers.take(prompt_of())


@pytest.fixture
def swept() -> list[tuple[Key, int]]:
    """Attempts whose files were removed."""
    return []


@pytest.fixture
async def clearing(bench: Bench, swept: list[tuple[Key, int]]) -> Any:
    tasks: list[asyncio.Task[None]] = []

    async def sweep(key: Key, attempt: int) -> None:
        swept.append((key, attempt))

    async def clear(seconds: float) -> None:
        tasks.append(asyncio.create_task(bench.leftovers.clear(sweep)))
        await asyncio.sleep(seconds)

    yield clear
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("happened", "stopped"),
    [
        ([], False),
        ([OURS], False),
        ([OURS, CancelRequested()], False),
        ([ELSEWHERE], True),
        ([Assigned(NODE, "another")], True),
        ([CancelRequested()], True),
        ([OURS, Succeeded(())], True),
        ([OURS, AGAIN], True),
        ([OURS, AGAIN, OURS], True),
    ],
)
async def test_what_can_not_become_ours_any_more_is_stopped(
    bench: Bench,
    clearing: Any,
    happened: list[Event],
    stopped: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    await bench.task(*happened)
    await left(bench)
    await clearing(0.5)
    assert bench.session.cancelled == ([prompt_of()] if stopped else [])
    assert bench.leftovers.take(prompt_of())


async def test_what_belongs_to_a_task_that_is_gone_is_stopped(bench: Bench, clearing: Any) -> None:
    await left(bench)
    await clearing(0.5)
    assert bench.session.cancelled == [prompt_of()]


async def test_what_waits_for_its_task_is_stopped_once_somebody_else_has_that(bench: Bench, clearing: Any) -> None:
    await bench.task()
    await left(bench)
    await clearing(5)
    assert bench.session.cancelled == []
    await bench.happen(ELSEWHERE)
    await asyncio.sleep(2)
    assert bench.session.cancelled != []


async def test_a_stop_is_repeated_until_it_has_taken_hold_and_then_the_prompt_is_forgotten(
    bench: Bench, clearing: Any, swept: list[tuple[Key, int]]
) -> None:
    await left(bench)
    await clearing(2.5)
    assert len(bench.session.cancelled) > 1
    assert swept == []
    bench.session.standing[prompt_of()] = Standing.ENDED
    await asyncio.sleep(2)
    assert bench.session.http.forgotten == [prompt_of()]
    assert swept == [(ONE, 1)]
    assert not bench.leftovers.take(prompt_of())


async def test_what_an_attempt_looks_after_is_left_alone(bench: Bench, clearing: Any) -> None:
    await left(bench)
    assert bench.leftovers.take(prompt_of())
    await clearing(5)
    assert bench.session.cancelled == []


async def test_neither_bus_nor_comfyui_need_be_there(bench: Bench, clearing: Any) -> None:
    await left(bench)
    bench.session.look_error = unreachable()
    with bench.bus.away():
        await clearing(5)
    await asyncio.sleep(5)
    bench.session.look_error = None
    await asyncio.sleep(2)
    assert bench.session.cancelled != []


@pytest.mark.parametrize(
    "extra_data",
    [
        {},
        {"comfymesh": 1},
        {"comfymesh": {"tenant": "default", "task": "one"}},
        {"comfymesh": {"tenant": "default", "task": "one", "attempt": "1"}},
        {"comfymesh": {"tenant": "default", "task": "another", "attempt": 1}},
        {"comfymesh": {"tenant": "default", "task": "one", "attempt": 2}},
    ],
)
async def test_what_is_not_ours_is_left_alone(bench: Bench, clearing: Any, extra_data: dict[str, Any]) -> None:
    await left(bench, extra_data)
    await clearing(5)
    assert bench.session.cancelled == []


@pytest.mark.parametrize("task", ["*", "a.b", "a b", "a\r\nPUB x 0", ""])
async def test_no_mark_reaches_other_subjects(bench: Bench, clearing: Any, task: str) -> None:
    await left(bench, leftovers.mark(Key("default", task), 1), prompt_id(Key("default", task), 1, NODE, INSTANCE))
    await clearing(5)
    assert bench.session.cancelled == []


async def test_what_is_left_on_another_instance_is_not_ours(bench: Bench, clearing: Any) -> None:
    await bench.task(assigned(), AGAIN)
    await left(bench, prompt=prompt_id(ONE, 1, "b", INSTANCE))
    await clearing(5)
    assert bench.session.cancelled == []


async def test_what_waits_for_its_task_is_stopped_once_the_instance_takes_nothing_new(
    bench: Bench, clearing: Any
) -> None:
    """Else an instance that is to be renewed would wait for a task that waits for it."""
    await bench.task()
    await left(bench)
    await clearing(2)
    assert bench.session.cancelled == []
    bench.workplace.retire()
    await asyncio.sleep(2)
    assert bench.session.cancelled != []


async def test_an_instance_is_not_free_while_a_prompt_may_be_an_attempts(bench: Bench, clearing: Any) -> None:
    """It runs for a task that the scheduler has not sent again yet: whoever stops the instance would lose it."""
    await bench.task(OURS)
    await left(bench)
    bench.workplace.retire()
    await clearing(3)
    assert bench.workplace.empty
    assert not bench.workplace.free
    waiting = asyncio.create_task(bench.workplace.wait_free())
    bench.workplace.enter()
    assert bench.leftovers.take(prompt_of())
    await asyncio.sleep(1)
    assert not waiting.done()
    bench.workplace.leave()
    await asyncio.sleep(0.1)
    assert waiting.done()


async def test_an_instance_that_is_gone_holds_nothing(bench: Bench) -> None:
    await bench.task(OURS)
    await left(bench)
    waiting = asyncio.create_task(bench.workplace.wait_free())
    await asyncio.sleep(1)
    bench.leftovers.lose()
    await asyncio.wait_for(waiting, 1)
