"""A check that remembers finds what one that does not remember finds, whatever came before it (ADR 71)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.graphs import Catalog, Checker, Graph, GraphNode, Validation, parse_graph, validate, work

DATA = Path(__file__).parents[1] / "data" / "comfyui"
INFO = json.loads((DATA / "object_info_subset.json").read_text())
MANIFEST = json.loads((DATA / "manifest.json").read_text())
GRAPHS = [
    parse_graph((DATA / "workflows" / name).read_text())
    for name in sorted(MANIFEST)
    if MANIFEST[name]["http_status"] == 200 and not MANIFEST[name].get("node_errors_on_200")
]
CATALOGS = [
    Catalog.from_object_info(INFO),
    Catalog.from_object_info({name: info for name, info in INFO.items() if name != "EmptyLatentImage"}),
]
PLACES = [
    (graph, node.id, name, value)
    for graph in GRAPHS
    for node in graph.nodes.values()
    for name, value in node.inputs.items()
]
OPTIONS = sorted(
    {v for c in CATALOGS[0].classes.values() for s in c.inputs.values() for v in s.options if isinstance(v, str)}
)

values: st.SearchStrategy[Any] = st.one_of(
    st.integers(-2, 70),
    st.sampled_from([2**64 - 1, 2**64, -1.0, 0.5, 1.0, 1e300, float("inf"), True, False, None, "", "5", "nan", "x"]),
    st.sampled_from(OPTIONS),
    st.sampled_from(
        [
            "new.safetensors",
            "deep/Other.PT",
            "../up.png",
            {"__value__": 7},
            {"__value__": "x"},
            {},
            {"__value__": ["1", 0]},
        ]
    ),
    st.sampled_from(
        [["1", 0], ["1", 1], ["1", True], ["1", 0.0], ["2", 0], ["none", 0], [1, 0], ["1"], [["1"], 0], []]
    ),
)
changes = st.tuples(st.sampled_from(PLACES), st.none() | values, st.sampled_from(["set", "drop", "retitle", "reclass"]))
steps = st.lists(st.tuples(st.lists(changes, max_size=2), st.sampled_from([0, 0, 1])), min_size=2, max_size=6)


def changed(graph: Graph, places: list[Any]) -> Graph:
    nodes = dict(graph.nodes)
    for (_, node_id, name, _), value, how in places:
        if (node := nodes.get(node_id)) is None:
            continue
        others = {other: given for other, given in node.inputs.items() if other != name}
        nodes[node_id] = {
            "set": replace(node, inputs={**node.inputs, name: value}),
            "drop": replace(node, inputs=others),
            "retitle": replace(node, title=str(value)),
            "reclass": replace(node, class_type="SaveImage" if value is None else str(value)[:9]),
        }[how]
    return Graph(nodes)


def told(found: Validation, catalog: Catalog) -> tuple[object, ...]:
    """Everything that a check tells, with 1, 1.0 and True told apart."""
    measured = work(found.graph, catalog, found.runnable_outputs, found.sound) if not found.violations else None
    plain = replace(found, graph=Graph({}), sound=None)
    return repr(plain), found.reached, repr(found.graph), measured


@given(st.sampled_from(GRAPHS), steps, st.sampled_from([15_000, 200_000]))
def test_what_is_found_does_not_depend_on_what_is_remembered(graph: Graph, asked: list[Any], most: int) -> None:
    checker = Checker(most)
    for places, number in asked:
        catalog, asked_for = CATALOGS[number], changed(graph, places)
        assert told(checker.validate(asked_for, catalog), catalog) == told(validate(asked_for, catalog), catalog)


plain = st.one_of(
    st.integers(), st.floats(allow_nan=True), st.booleans(), st.text(max_size=4), st.sampled_from([None, {}])
)
bounds = st.one_of(st.none(), st.integers(-3, 3), st.floats(-3, 3), st.just(float("nan")), st.sampled_from([True, "2"]))


@given(st.sampled_from(["INT", "FLOAT", "STRING", "BOOLEAN", "CUSTOM", "COMBO"]), bounds, bounds, plain, plain)
def test_a_value_is_right_only_where_the_whole_check_says_so(
    kind: str, low: Any, high: Any, one: Any, two: Any
) -> None:
    told_of = {"min": low, "max": high, "options": ["a", "b", 1]}
    about = {"input": {"required": {"it": [kind, {name: v for name, v in told_of.items() if v is not None}]}}}
    catalog = Catalog.from_object_info({"It": {**about, "output": [], "output_node": True}})
    checker = Checker()
    for value in (one, two, "a", 1, 0.0, False):
        graph = Graph({"1": GraphNode("1", "It", {"it": value})})
        assert told(checker.validate(graph, catalog), catalog) == told(validate(graph, catalog), catalog)
