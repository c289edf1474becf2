"""What a check remembers, and for how long."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from comfymesh.graphs import Catalog, Checker, Graph, GraphNode, checker, validate, work

DATA = Path(__file__).parents[2] / "data" / "comfyui"
INFO = json.loads((DATA / "object_info_subset.json").read_text())
FEW = {name: INFO[name] for name in ("EmptyImage", "SaveImage")}


def graph(name: str = "2", **inputs: Any) -> Graph:
    image = GraphNode("1", "EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0, **inputs})
    return Graph({"1": image, name: GraphNode(name, "SaveImage", {"images": ["1", 0], "filename_prefix": "x"})})


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs that went the whole way."""
    seen: list[Graph] = []

    def whole(each: Graph, catalog: Catalog) -> Any:
        seen.append(each)
        return validate(each, catalog)

    monkeypatch.setattr(checker, "validate", whole)
    return seen


def test_another_seed_is_another_value_alone(looked: list[Graph]) -> None:
    catalog, checks = Catalog.from_object_info(INFO), Checker()
    for color in range(5):
        assert checks.validate(graph(color=color), catalog).violations == ()
    assert len(looked) == 1
    # "7" becomes a number, and a value out of its range is told with all words.
    assert checks.validate(graph(color="7"), catalog).graph.nodes["1"].inputs["color"] == 7
    assert len(looked) == 1
    assert checks.validate(graph(color=-1), catalog) == validate(graph(color=-1), catalog)
    assert len(looked) == 2


@pytest.mark.parametrize("odd", [["1", 0.0], ["1", -0.0], ["1", True], [1, 0], ["1", 0, 0], ["1"], [["1"], 0], [{}, 0]])
def test_an_odd_link_is_told_from_one_that_python_takes_for_the_same(odd: Any) -> None:
    catalog, checks = Catalog.from_object_info(INFO), Checker()
    for link in (["1", 0], odd, ["1", 0]):
        asked = graph().with_inputs({("2", "images"): link})
        assert checks.validate(asked, catalog) == validate(asked, catalog)
        assert bool(checks.validate(asked, catalog).violations) is (link is odd)


@pytest.mark.parametrize("order", [(0, 1, 0), (1, 0, 1)])
def test_a_link_that_is_wrapped_as_a_value_is_no_value(order: tuple[int, ...]) -> None:
    shown = {"input": {"required": {"it": ["*"]}}, "output": [], "output_node": True}
    catalog, checks = Catalog.from_object_info({**FEW, "Show": shown}), Checker()
    values: list[Any] = ["x", {"__value__": ["1", 0]}]
    for value in (values[each] for each in order):
        asked = Graph({"1": graph().nodes["1"], "3": GraphNode("3", "Show", {"it": value})})
        found, whole = checks.validate(asked, catalog), validate(asked, catalog)
        assert found == whole
        assert not found.violations
        assert work(found.graph, catalog, ["3"], found.sound) == work(whole.graph, catalog, ["3"])


def test_another_file_is_another_shape() -> None:
    catalog, checks = Catalog.from_object_info(INFO), Checker()
    files = catalog.classes["CheckpointLoaderSimple"].inputs["ckpt_name"].options
    loader = GraphNode("1", "CheckpointLoaderSimple", {"ckpt_name": files[0]})
    decode = GraphNode("2", "SaveImage", {"images": ["3", 0], "filename_prefix": "x"})
    empty = GraphNode("3", "EmptyImage", {"width": 8, "height": 8, "batch_size": 1, "color": 0, "more": "a.pt"})
    for more in ("a.pt", "b.pt", "a.pt"):
        asked = Graph({"1": loader, "2": decode, "3": GraphNode("3", empty.class_type, {**empty.inputs, "more": more})})
        found = checks.validate(asked, catalog)
        assert found.sound is not None
        assert work(found.graph, catalog, found.runnable_outputs, found.sound) == work(asked, catalog, ["2"])


def test_a_catalog_is_let_go_and_another_in_its_place_is_asked_itself(looked: list[Graph]) -> None:
    checks, gone = Checker(), list[ref[Catalog]]()
    for classes in (FEW, {"SaveImage": INFO["SaveImage"]}) * 3:
        catalog = Catalog.from_object_info(classes)
        assert bool(checks.validate(graph(), catalog).violations) is ("EmptyImage" not in classes)
        gone.append(ref(catalog))
        del catalog
        gc.collect()
    assert len(looked) == 6
    assert not any(each() for each in gone)


class Option(str):
    """A text that can be watched."""

    __slots__ = ("__weakref__",)


def test_nothing_is_held_of_a_catalog_that_is_gone_once_another_has_come() -> None:
    checks, gone = Checker(), list[ref[Option]]()
    for _ in range(3):
        option = Option("a.pt")
        gone.append(ref(option))
        inputs = {"required": {"file": [[option]]}}
        catalog = Catalog.from_object_info({"It": {"input": inputs, "output": [], "output_node": True}})
        assert not checks.validate(Graph({"1": GraphNode("1", "It", {"file": "a.pt"})}), catalog).violations
        del option, inputs, catalog
    gc.collect()
    assert [each() is not None for each in gone] == [False, False, True]


def test_shapes_that_are_remembered_have_an_end() -> None:
    catalog, checks, found = Catalog.from_object_info(INFO), Checker(), list[str]()
    for number in range(200):
        asked = checks.validate(graph(more=f"{number}.pt"), catalog)
        assert asked.sound is not None
        found.append(work(asked.graph, catalog, ["2"], asked.sound).shape)
        known = [asked.sound.shapes.find(("", "", "", "", f"{each}.pt", "")) for each in range(number + 1)]
        assert known[:10] == found[:10]
    assert len(set(found)) == 200
    assert 10 < len(known) - known.count(None) < 64


def test_what_is_remembered_has_an_end(looked: list[Graph]) -> None:
    catalog, checks = Catalog.from_object_info(INFO), Checker(most=20_000)
    for name in ("a", "b", "c", "c", "b"):
        checks.validate(graph(name), catalog)
    assert len(looked) == 3
    checks.validate(graph("a"), catalog)
    assert len(looked) == 4, "of too many the first was forgotten"
    for _ in range(2):
        checks.validate(graph("n" * 70_000), catalog)
    assert len(looked) == 6, "what is very large is not remembered"
