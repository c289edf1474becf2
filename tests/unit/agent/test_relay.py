"""The relay: progress keeps a pace, and previews are sent only while somebody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from comfymesh.agent.comfyui.events import ExecutionSucceeded, Preview, StepProgress
from comfymesh.agent.relay import Relay
from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.tasks.record import Artifact, ArtifactKind, Key
from comfymesh.testkit.graphs import node
from comfymesh.testkit.memory_bus import MAX_PAYLOAD, MemoryBus
from comfymesh.v1 import task_pb2

KEY = Key("default", "one")
GRAPH = {"1": node("Load"), "2": node("KSampler", steps=9)}
PACE = 0.05


class Watcher:
    """A relay of attempt 3, and what is heard of it: moments since the beginning, and messages."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.relay = Relay(self.bus, KEY, 3)
        self.told: list[task_pb2.TaskProgress] = []
        self.moments: list[float] = []
        self.previews: list[task_pb2.Preview] = []
        self._beginning = asyncio.get_running_loop().time()

    def hear_progress(self, message: Message) -> None:
        self.told.append(task_pb2.TaskProgress.FromString(message.data))
        self.moments.append(round(asyncio.get_running_loop().time() - self._beginning, 3))

    def hear_preview(self, message: Message) -> None:
        self.previews.append(task_pb2.Preview.FromString(message.data))

    def begin(self) -> None:
        self.relay.executing(GRAPH)
        self.relay.began()

    def step(self, value: int) -> None:
        self.relay.feed(StepProgress("p", "2", value, 9))

    def show(self, image: bytes) -> None:
        self.relay.feed(Preview(image, "image/png", "p", "2"))


@pytest.fixture
async def watcher(clock: SimpleNamespace) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    await watcher.bus.subscribe(subjects.progress(KEY), watcher.hear_progress)
    await watcher.bus.subscribe(subjects.preview(KEY), watcher.hear_preview)
    watcher.relay.open()
    yield watcher
    await watcher.relay.close()


async def test_progress_tells_where_the_attempt_is(watcher: Watcher) -> None:
    watcher.begin()
    watcher.step(3)
    await asyncio.sleep(1)
    (told,) = watcher.told
    assert (told.attempt, told.phase) == (3, task_pb2.TaskProgress.PHASE_EXECUTING)
    assert (told.graph_node, told.graph_node_class, told.step, told.step_count) == ("2", "KSampler", 3, 9)
    assert told.fraction == pytest.approx(0.3)


async def test_nothing_is_told_of_the_first_moments(watcher: Watcher) -> None:
    watcher.begin()
    watcher.step(1)
    await asyncio.sleep(0.9 * PACE)
    assert watcher.told == []
    watcher.step(2)
    await asyncio.sleep(PACE)
    assert [told.step for told in watcher.told] == [2]


async def test_what_comes_before_it_is_opened_is_told_then(clock: SimpleNamespace) -> None:
    watcher = Watcher()
    await watcher.bus.subscribe(subjects.progress(KEY), watcher.hear_progress)
    watcher.begin()
    watcher.step(1)
    await asyncio.sleep(1)
    assert watcher.told == []
    watcher.relay.open()
    await asyncio.sleep(1)
    assert [told.step for told in watcher.told] == [1]
    await watcher.relay.close()


@pytest.mark.parametrize("after", [0.5 * PACE, 1.5 * PACE])
async def test_nothing_is_told_once_it_is_closed(watcher: Watcher, after: float) -> None:
    watcher.begin()
    watcher.step(1)
    await asyncio.sleep(after)
    told = len(watcher.told)
    await watcher.relay.close()
    watcher.step(2)
    await asyncio.sleep(1)
    assert len(watcher.told) == told


async def test_of_a_burst_the_first_and_the_latest_are_told(watcher: Watcher) -> None:
    watcher.begin()
    await asyncio.sleep(1)
    for value in range(1, 9):
        watcher.step(value)
        await asyncio.sleep(0.001)
    await asyncio.sleep(1)
    assert [told.step for told in watcher.told] == [1, 8]
    assert watcher.moments == [1.0, 1.0 + PACE]


async def test_what_does_not_change_is_not_told_again(watcher: Watcher) -> None:
    watcher.begin()
    for _ in range(5):
        watcher.step(1)
        await asyncio.sleep(1)
    assert len(watcher.told) == 1


async def test_the_time_to_the_end_is_told_once_it_is_more_than_a_guess(watcher: Watcher) -> None:
    watcher.begin()
    watcher.step(1)
    await asyncio.sleep(0.5)
    watcher.step(2)
    await asyncio.sleep(3.5)
    watcher.step(4)
    await asyncio.sleep(1)
    assert [told.HasField("eta") for told in watcher.told] == [False, False, True]
    assert watcher.told[-1].eta.ToMilliseconds() == pytest.approx(6000, abs=100)


async def test_storing_is_told(watcher: Watcher) -> None:
    watcher.begin()
    watcher.relay.storing()
    await asyncio.sleep(1)
    assert watcher.told[-1].phase == task_pb2.TaskProgress.PHASE_STORING


@pytest.mark.parametrize("executed_after", [0.2 * PACE, 0.9 * PACE])
async def test_what_is_executed_at_once_is_told_only_where_storing_takes_long(
    watcher: Watcher, executed_after: float
) -> None:
    watcher.begin()
    watcher.step(1)
    await asyncio.sleep(executed_after)
    watcher.relay.feed(ExecutionSucceeded("p"))
    watcher.relay.storing()
    await asyncio.sleep(0.24)
    assert watcher.told == []
    await asyncio.sleep(0.02)
    assert [told.phase for told in watcher.told] == [task_pb2.TaskProgress.PHASE_STORING]


async def test_once_anything_was_told_storing_is_told_without_delay(watcher: Watcher) -> None:
    watcher.begin()
    watcher.step(1)
    await asyncio.sleep(3 * PACE)
    watcher.relay.feed(ExecutionSucceeded("p"))
    watcher.relay.storing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [told.phase for told in watcher.told][1:] == [task_pb2.TaskProgress.PHASE_STORING]


async def test_an_artifact_is_told_with_all_progress_from_then_on(watcher: Watcher) -> None:
    """So whoever hears the latest alone has missed none."""
    watcher.begin()
    for step, sha256 in enumerate(("a" * 64, "b" * 64), 1):
        watcher.relay.stored(Artifact(sha256, "x.png", "image/png", 5, sha256, "9", "images", ArtifactKind.OUTPUT))
        await asyncio.sleep(1)
        watcher.step(step)
        await asyncio.sleep(1)
    names = [f"tasks/one/artifacts/{letter * 64}" for letter in "ab"]
    assert [[artifact.name for artifact in told.artifacts] for told in watcher.told] == [
        names[:1], names[:1], names, names
    ]  # fmt: skip


async def test_previews_are_sent_while_somebody_watches(watcher: Watcher) -> None:
    watcher.begin()
    await asyncio.sleep(1)
    watcher.show(b"unseen")
    await asyncio.sleep(1)
    watcher.relay.wanted()
    watcher.show(b"seen")
    await asyncio.sleep(3.1)
    watcher.show(b"unseen again")
    await asyncio.sleep(1)
    (preview,) = watcher.previews
    assert (preview.data, preview.attempt, preview.graph_node, preview.media_type) == (b"seen", 3, "2", "image/png")


async def test_previews_keep_a_pace(watcher: Watcher) -> None:
    watcher.begin()
    await asyncio.sleep(1)
    watcher.relay.wanted()
    for number in range(10):
        watcher.show(b"%d" % number)
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    assert [preview.data for preview in watcher.previews] == [b"0", b"3", b"6", b"9"]


async def test_a_preview_that_is_too_large_or_a_bus_that_is_away_ends_nothing(watcher: Watcher) -> None:
    watcher.begin()
    await asyncio.sleep(1)
    watcher.relay.wanted()
    watcher.show(b"x" * (MAX_PAYLOAD + 1))
    await asyncio.sleep(1)
    with watcher.bus.away():
        watcher.step(1)
        await asyncio.sleep(1)
    watcher.step(2)
    await asyncio.sleep(1)
    assert watcher.previews == []
    assert watcher.told[-1].step == 2


@pytest.mark.parametrize("steps", [0, -5, 10**30, True, "many", None, 2.5, ["4", 0]])
async def test_whatever_a_graph_says_of_its_steps_progress_is_a_fraction(watcher: Watcher, steps: object) -> None:
    watcher.relay.executing({"1": node("Load"), "2": node("KSampler", steps=steps)})
    watcher.step(9)
    await asyncio.sleep(1)
    assert 0 < watcher.told[-1].fraction <= 1


async def test_a_defect_ends_progress_and_says_of_which_task(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("no such view")

    watcher.begin()
    monkeypatch.setattr(watcher.relay, "_message", broken)
    watcher.step(3)
    await asyncio.sleep(1)
    assert watcher.told == []
    (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (logged.task, logged.attempt, logged.action) == ("one", 3, "progress_defect")  # type: ignore[attr-defined]
    assert "no such view" in caplog.text
