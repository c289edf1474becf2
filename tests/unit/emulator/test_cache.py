"""Results are kept by class, inputs and ancestors, and by nothing else."""

from __future__ import annotations

from typing import Any

from comfymesh.emulator.cache import Result, ResultCache, signatures
from comfymesh.emulator.plan import planned_nodes


def signed(graph: dict[str, Any], fingerprint: str = "") -> dict[str, str]:
    nodes = planned_nodes(graph, lambda _class_type: {"images", "image", "prefix", "width"})
    return signatures(nodes, [next(iter(graph))], lambda _node: fingerprint)


def pair(first: str = "1", second: str = "2", width: int = 64) -> dict[str, Any]:
    return {
        second: {"class_type": "Save", "inputs": {"images": [first, 0], "prefix": "x"}},
        first: {"class_type": "Empty", "inputs": {"width": width}},
    }


def test_ids_of_graph_nodes_do_not_matter() -> None:
    assert list(signed(pair()).values()) == list(signed(pair("91", "92")).values())


def test_a_changed_input_changes_everything_that_follows() -> None:
    before, after = signed(pair()), signed(pair(width=65))
    assert before["1"] != after["1"]
    assert before["2"] != after["2"]


def test_a_changed_input_does_not_change_what_comes_before() -> None:
    graph = pair()
    graph["2"]["inputs"]["prefix"] = "y"
    assert signed(graph)["1"] == signed(pair())["1"]
    assert signed(graph)["2"] != signed(pair())["2"]


def test_a_changed_file_changes_the_signature() -> None:
    assert signed(pair(), "old") != signed(pair(), "new")


def test_what_does_not_run_may_be_broken() -> None:
    cycle = {"class_type": "Invert", "inputs": {"image": ["8", 0]}}
    dangling = {"class_type": "Invert", "inputs": {"image": ["99", 0]}}
    assert set(signed({**pair(), "8": cycle, "9": dangling})) == {"1", "2"}


def test_a_long_chain_is_no_trouble() -> None:
    graph: dict[str, Any] = {
        str(number): {"class_type": "Invert", "inputs": {"image": [str(number + 1), 0]}} for number in range(5_000)
    }
    graph["5000"] = {"class_type": "Empty", "inputs": {}}
    assert len(set(signed(graph).values())) == 5_001


def test_the_result_unused_for_longest_goes_first() -> None:
    cache = ResultCache(2)
    cache.put("a", Result((1,)))
    cache.put("b", Result((2,)))
    assert cache.get("a") == Result((1,))
    cache.put("c", Result((3,)))
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (Result((1,)), None, Result((3,)))


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = ResultCache(0)
    cache.put("a", Result((1,)))
    assert cache.get("a") is None
