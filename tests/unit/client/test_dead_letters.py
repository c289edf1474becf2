"""How dead letters are chosen, and how many calls that takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from comfymesh.client import ComfyMeshError, DeadLetterOptions, DeadLetterResolution, InvalidRequest, Task
from comfymesh.client.convert import dead_letter_from_proto, task_from_proto
from comfymesh.client.dead_letters import MOST_NAMES, _resolve, filter_to_proto
from comfymesh.v1 import dead_letter_pb2, error_reason_pb2, task_pb2, task_service_pb2
from comfymesh.v1.dead_letter_service_pb2 import DropDeadLettersResponse, DropDeadLettersResult

ASKED = DeadLetterOptions(group="g")


class Server:
    """Has some dead letters, takes a few at a time, and refuses those that it is told to."""

    def __init__(self, *names: str, at_once: int = 2, refused: frozenset[str] = frozenset()) -> None:
        self.left = list(names)
        self.at_once = at_once
        self.refused = refused
        self.calls: list[int] = []

    async def ask(
        self, names: Sequence[str], chosen: dead_letter_pb2.DeadLetterFilter | None
    ) -> DropDeadLettersResponse:
        meant = list(names) if chosen is None else self.left[: self.at_once]
        self.calls.append(len(meant))
        more = chosen is not None and len(self.left) > len(meant)
        self.left = [name for name in self.left if name not in meant or name in self.refused]
        return DropDeadLettersResponse(results=[self.result(name) for name in meant], more=more)

    def result(self, name: str) -> DropDeadLettersResult:
        if name in self.refused:
            return DropDeadLettersResult(name=name, refusal=task_service_pb2.Refusal(code=5, message="gone"))
        return DropDeadLettersResult(name=name, task=task_pb2.Task(name=name))


async def test_all_that_match_are_seen_to_in_as_many_calls_as_it_takes() -> None:
    server = Server("a", "b", "c", "d", "e")
    assert list(await _resolve(server.ask, [], ASKED)) == ["a", "b", "c", "d", "e"]
    assert server.calls == [2, 2, 1]


async def test_what_is_refused_is_not_asked_for_for_ever() -> None:
    server = Server("a", "b", "c", refused=frozenset({"a", "b"}))
    found = await _resolve(server.ask, [], ASKED)
    assert server.calls == [2]
    assert all(isinstance(outcome, ComfyMeshError) for outcome in found.values())


async def test_names_are_sent_in_parts_that_a_call_takes() -> None:
    names = [f"tasks/t{number}" for number in range(MOST_NAMES + 1)]
    server = Server()
    found = await _resolve(server.ask, names, {})
    assert server.calls == [MOST_NAMES, 1]
    assert list(found) == names
    assert all(isinstance(outcome, Task) for outcome in found.values())


@pytest.mark.parametrize(("names", "options"), [([], {}), (["tasks/a"], ASKED)])
async def test_what_is_meant_has_to_be_said_in_one_way(names: list[str], options: DeadLetterOptions) -> None:
    server = Server("a")
    with pytest.raises(InvalidRequest):
        await _resolve(server.ask, names, options)
    assert server.calls == []


def test_a_choice_reaches_the_message() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    chosen = filter_to_proto({"reasons": ["timeout"], "labels": {"a": "b"}, "group": "g", "failed_after": moment})
    assert list(chosen.reasons) == [error_reason_pb2.ERROR_REASON_TIMEOUT]
    assert (chosen.labels, chosen.group, chosen.failed_after.seconds) == ({"a": "b"}, "groups/g", moment.timestamp())
    assert not chosen.HasField("failed_before")


def test_a_resolution_that_a_newer_server_knows_is_unknown() -> None:
    assert task_from_proto(task_pb2.Task()).dead_letter_resolution is None
    dropped = task_pb2.Task(dead_letter_resolution=task_pb2.Task.DEAD_LETTER_RESOLUTION_DROPPED)
    assert task_from_proto(dropped).dead_letter_resolution is DeadLetterResolution.DROPPED
    newer = task_pb2.Task.FromString(task_pb2.Task().SerializeToString() + b"\x88\x02\x63")
    assert task_from_proto(newer).dead_letter_resolution is DeadLetterResolution.UNKNOWN


def test_a_dead_letter_keeps_all_it_has() -> None:
    message = dead_letter_pb2.DeadLetter(
        task=task_pb2.Task(name="tasks/a", error=task_pb2.TaskError(log_tail="last words"), requeued_as="tasks/b"),
        failures=[dead_letter_pb2.AttemptFailure(attempt=1, node="nodes/n", instance="x", reason=999)],  # type: ignore[arg-type]
    )
    letter = dead_letter_from_proto(message)
    assert letter.task.error is not None
    assert (letter.task.error.log_tail, letter.task.requeued_as) == ("last words", "tasks/b")
    assert [(f.attempt, f.node, f.instance, f.reason) for f in letter.failures] == [(1, "nodes/n", "x", "REASON_999")]
