"""What is kept on an instance: what was used last, and always what is needed."""

from __future__ import annotations

from comfymesh.agent.domain.shelf import Shelf


def stocked(shelf: Shelf, *folders: str, size_bytes: int = 1) -> Shelf:
    for folder in folders:
        shelf.put(folder, f"{folder}/x.png", size_bytes, "user")
    shelf.release("user")
    return shelf


def test_what_was_not_used_for_longest_goes_first() -> None:
    shelf = stocked(Shelf(2, 100), "a", "b", "c")
    assert shelf.take("a", "user") == "a/x.png"
    shelf.release("user")
    assert shelf.full
    assert shelf.clear_out() == ["b"]
    assert not shelf.full
    assert (shelf.take("b", "user"), shelf.take("c", "user")) == (None, "c/x.png")


def test_bytes_are_bounded_as_well() -> None:
    shelf = stocked(Shelf(100, 10), "a", "b", "c", size_bytes=5)
    assert shelf.clear_out() == ["a"]
    stocked(shelf, "b", size_bytes=6)
    assert shelf.clear_out() == ["c"]


def test_what_somebody_needs_stays() -> None:
    shelf = stocked(Shelf(1, 100), "a", "b", "c")
    shelf.take("a", "one")
    shelf.take("a", "two")
    shelf.take("b", "one")
    assert shelf.clear_out() == ["c"]
    assert shelf.full
    shelf.release("one")
    assert shelf.clear_out() == ["b"]
    assert not shelf.full


def test_what_is_in_doubt_is_brought_again_and_still_counts() -> None:
    shelf = stocked(Shelf(1, 100), "a")
    shelf.take("a", "one")
    shelf.doubt()
    assert shelf.take("a", "two") is None
    shelf.put("a", "a/x.png", 1, "two")
    assert shelf.take("a", "three") == "a/x.png"
    for user in ("two", "three"):
        shelf.release(user)
    shelf.put("b", "b/x.png", 1, "four")
    assert shelf.clear_out() == []  # `one` had it before the doubt.
