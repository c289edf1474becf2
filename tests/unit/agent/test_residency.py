"""What an instance has in memory, learned from what its prompts had to load."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.domain.residency import Residency

FILES = "abcdefg"


def run(residency: Residency, used: str, loaded: str) -> None:
    residency.begin(used)
    residency.ran(used, loaded)


def after(*prompts: tuple[str, str]) -> Residency:
    """Prompts that used and loaded some files, each a letter."""
    residency = Residency()
    for used, loaded in prompts:
        run(residency, used, loaded)
    return residency


def test_what_ran_is_there_the_file_unused_for_longest_first() -> None:
    assert after(("ab", "ab"), ("c", "c"), ("a", "")).resident() == ("b", "c", "a")


def test_a_file_that_had_to_be_loaded_again_tells_how_many_stay() -> None:
    assert after(("a", "a"), ("b", "b"), ("c", "c"), ("a", "a")).resident() == ("c", "a")
    assert after(("a", "a"), ("b", "b"), ("a", "a")).resident() == ("a",)


def test_a_file_that_had_not_tells_as_well() -> None:
    residency = after(("a", "a"), ("b", "b"), ("a", "a"))  # believed to hold one
    run(residency, "b", "")
    assert residency.resident() == ("a", "b")


def test_what_one_prompt_uses_is_there_together() -> None:
    assert after(("a", "a"), ("b", "b"), ("a", "a"), ("bcd", "bcd")).resident() == ("b", "c", "d")


def test_a_file_that_is_loaded_anew_for_other_reasons_drives_nobody_out() -> None:
    residency = after(("al", "al"), ("b", "b"), ("al", "l"))
    assert residency.resident() == ("b", "a", "l")


def test_nothing_is_there_after_all_was_unloaded() -> None:
    residency = after(("ab", "ab"))
    residency.clear()
    assert residency.resident() == ()
    run(residency, "a", "a")
    run(residency, "b", "b")
    assert residency.resident() == ("a", "b"), "loads after that tell nothing of how many stay"


def test_what_a_prompt_uses_is_there_as_soon_as_it_begins_and_each_change_is_told_once() -> None:
    told: list[tuple[str, ...]] = []
    residency = Residency(lambda: told.append(residency.resident()))
    residency.begin("ab")
    residency.ran("ab", "ab")
    residency.begin("ab")
    residency.ran("ab", "")
    assert told == [("a", "b")]
    residency.clear()
    residency.clear()
    assert told == [("a", "b"), ()]


@given(st.integers(1, 7), st.lists(st.sampled_from(FILES), max_size=60))
def test_whatever_the_size_of_the_cache_it_is_wrong_only_a_few_times(size: int, prompts: list[str]) -> None:
    """It believes all that is there, and each time that it believed more it learns."""
    residency, cache, wrong = Residency(), OrderedDict[str, None](), 0
    for name in prompts:
        loaded = name not in cache
        wrong += loaded and name in residency.resident()
        cache[name] = None
        cache.move_to_end(name)
        while len(cache) > size:
            cache.popitem(last=False)
        run(residency, name, name if loaded else "")
        assert set(cache) <= set(residency.resident())
    assert wrong <= len(FILES) - size
