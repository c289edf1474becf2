"""Progress is told at once when it matters, and not too often otherwise."""

from __future__ import annotations

from comfymesh.emulator.plan import PlannedNode
from comfymesh.emulator.progress import ProgressBoard, Throttle

NODE = PlannedNode("1", "A", {}, "1")


def passed(updates: list[tuple[float, float]], maximum: float, *, has_preview: bool = False) -> list[float]:
    throttle = Throttle()
    return [
        value
        for value, now in updates
        if throttle.lets_through(value, maximum, now, has_preview=has_preview)
    ]  # fmt: skip


def test_the_first_and_the_last_always_pass() -> None:
    assert passed([(1, 0.0), (2, 0.01), (3, 0.02)], 3) == [1, 3]


def test_others_pass_after_a_tenth_of_a_second() -> None:
    assert passed([(1, 0.0), (2, 0.05), (3, 0.11), (4, 0.15), (5, 0.22)], 9) == [1, 3, 5]


def test_others_need_half_a_percent_too() -> None:
    assert passed([(1, 0.0), (2, 1.0), (6, 2.0)], 1000) == [1, 6]


def test_previews_always_pass() -> None:
    assert passed([(1, 0.0), (2, 0.0), (3, 0.0)], 9, has_preview=True) == [1, 2, 3]


def test_a_node_that_told_no_progress_ends_at_one() -> None:
    board = ProgressBoard("p")
    board.start(NODE)
    board.finish(NODE)
    entry = board.as_json()["nodes"]["1"]  # type: ignore[index]
    assert (entry["value"], entry["max"], entry["state"]) == (1.0, 1.0, "finished")


def test_a_node_that_told_progress_ends_at_its_maximum() -> None:
    board = ProgressBoard("p")
    board.start(NODE)
    board.update(NODE, 3, 8)
    board.finish(NODE)
    entry = board.as_json()["nodes"]["1"]  # type: ignore[index]
    assert (entry["value"], entry["max"]) == (8, 8)


def test_what_was_told_does_not_change_afterwards() -> None:
    board = ProgressBoard("p")
    board.start(NODE)
    told = board.as_json()
    board.finish(NODE)
    assert told["nodes"]["1"]["state"] == "running"  # type: ignore[index]
