"""The queue keeps its order, the history its ends."""

from __future__ import annotations

import pytest

from comfymesh.emulator.prompt_queue import Ending, Prompt, PromptQueue


@pytest.fixture
def changes() -> list[int]:
    return []


@pytest.fixture
def queue(changes: list[int]) -> PromptQueue:
    return PromptQueue(lambda: changes.append(1))


def prompt(number: float, prompt_id: str = "p") -> Prompt:
    return Prompt(number, prompt_id, {}, {}, ["2"])


def end(queue: PromptQueue, running: Prompt) -> None:
    queue.finish(running, Ending({}, {}, {"status_str": "success"}))


def test_the_lowest_number_comes_first(queue: PromptQueue) -> None:
    for number in (2, -1, 1.5):
        queue.put(prompt(number, str(number)))
    assert [taken.id for taken in (queue.take(0), queue.take(0), queue.take(0)) if taken] == ["-1", "1.5", "2"]


def test_the_same_number_and_id_fails_and_is_queued(queue: PromptQueue) -> None:
    queue.put(prompt(1))
    with pytest.raises(TypeError):
        queue.put(Prompt(1, "p", {"other": None}, {}, ["2"]))
    assert queue.remaining() == 2


def test_every_change_is_told(queue: PromptQueue, changes: list[int]) -> None:
    queue.put(prompt(1))
    running = queue.take(0)
    assert running is not None
    end(queue, running)
    queue.clear()
    assert len(changes) == 4


def test_nothing_is_taken_from_an_empty_or_closed_queue(queue: PromptQueue) -> None:
    assert queue.take(0) is None
    queue.put(prompt(1))
    queue.close()
    assert queue.take(None) is None


def test_one_of_two_with_the_same_id_is_deleted(queue: PromptQueue) -> None:
    queue.put(prompt(1))
    queue.put(prompt(2))
    assert queue.delete("p")
    assert [waiting.number for waiting in queue.snapshot().pending] == [2]
    assert not queue.delete("other")


def test_history_is_read_from_either_end(queue: PromptQueue) -> None:
    for number in range(4):
        queue.put(prompt(number, str(number)))
        running = queue.take(0)
        assert running is not None
        end(queue, running)
    assert list(queue.history()) == ["0", "1", "2", "3"]
    assert list(queue.history(max_items=2)) == ["2", "3"]
    assert list(queue.history(max_items=2, offset=1)) == ["1", "2"]
    queue.forget(["1", "unknown"])
    assert list(queue.history()) == ["0", "2", "3"]
    queue.forget(None)
    assert not queue.history()


def test_a_repeated_id_keeps_the_newer_entry(queue: PromptQueue) -> None:
    for number in (1, 2):
        queue.put(prompt(number))
        running = queue.take(0)
        assert running is not None
        end(queue, running)
    entry = queue.entry("p")
    assert entry is not None
    assert entry["prompt"] == [2, "p", {}, {}, ["2"]]


def test_a_client_id_that_is_no_text_names_no_socket() -> None:
    assert Prompt(1, "p", {}, {"client_id": 5}, []).client_id not in {None, "5"}
    assert Prompt(1, "p", {}, {"client_id": None}, []).client_id is None
