"""Texts become graphs, or errors that say why."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comfymesh.graphs import Graph, GraphError, GraphErrorReason, Limits, holds_more_than, parse_graph

WORKFLOWS = sorted((Path(__file__).parents[2] / "data" / "comfyui" / "workflows").glob("*.json"))
NODE = '{"class_type": "A", "inputs": {}}'


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_recorded_workflow_survives_parsing_and_writing(path: Path) -> None:
    graph = parse_graph(path.read_text())
    assert graph.to_prompt() == json.loads(path.read_text())
    assert parse_graph(graph.to_json()) == graph


def test_a_byte_order_mark_is_told() -> None:
    with pytest.raises(GraphError, match="byte order mark") as caught:
        parse_graph(f'\ufeff{{"1": {NODE}}}')
    assert caught.value.reason is GraphErrorReason.NOT_JSON


def test_integers_of_64_bits_stay_exact() -> None:
    graph = parse_graph('{"1": {"class_type": "A", "inputs": {"seed": 18446744073709551615}}}')
    assert graph.nodes["1"].inputs["seed"] == 2**64 - 1
    assert "18446744073709551615" in graph.to_json()


def test_bytes_are_read_as_utf_8() -> None:
    assert parse_graph('{"ü": {"class_type": "Ä", "inputs": {}}}'.encode()).nodes["ü"].class_type == "Ä"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", GraphErrorReason.NOT_JSON),
        ("", GraphErrorReason.NOT_JSON),
        ("[]", GraphErrorReason.NOT_AN_OBJECT),
        ("null", GraphErrorReason.NOT_AN_OBJECT),
        ("{}", GraphErrorReason.EMPTY),
        ('{"nodes": [], "links": []}', GraphErrorReason.UI_FORMAT),
        (f'{{"prompt": {{"1": {NODE}}}, "client_id": "x"}}', GraphErrorReason.REQUEST_BODY),
        ('{"1": 5}', GraphErrorReason.BAD_NODE),
        ('{"1": {"inputs": {}}}', GraphErrorReason.BAD_NODE),
        ('{"1": {"class_type": 5, "inputs": {}}}', GraphErrorReason.BAD_NODE),
        ('{"1": {"class_type": "A"}}', GraphErrorReason.BAD_NODE),
        ('{"1": {"class_type": "A", "inputs": []}}', GraphErrorReason.BAD_NODE),
        ('{"1": {"class_type": "A", "inputs": {"x": NaN}}}', GraphErrorReason.BAD_NUMBER),
        ('{"1": {"class_type": "A", "inputs": {"x": -Infinity}}}', GraphErrorReason.BAD_NUMBER),
        ('{"1": {"class_type": "A", "inputs": {"x": 1e999}}}', GraphErrorReason.BAD_NUMBER),
        (f'{{"1": {{"class_type": "A", "inputs": {{"x": {"9" * 5000}}}}}}}', GraphErrorReason.BAD_NUMBER),
        ('{"1": {"class_type": "A", "inputs": {"x": "\\ud800"}}}', GraphErrorReason.BAD_TEXT),
        ("\ud800", GraphErrorReason.BAD_TEXT),
        (b"\xff", GraphErrorReason.BAD_TEXT),
        (f'{{"1": {NODE}, "1": {NODE}}}', GraphErrorReason.DUPLICATE_KEY),
        ("[" * 100_000, GraphErrorReason.TOO_DEEP),
        (f'{{"1": {"[" * 70}{"]" * 70}}}', GraphErrorReason.TOO_DEEP),
        (f'{{"1": {"[" * 64}{"]" * 64}}}', GraphErrorReason.TOO_DEEP),
        (f'{{"1": {"[" * 63}{"]" * 63}}}', GraphErrorReason.BAD_NODE),
        (f'{{"1": {"[" * 63}{{"x": 1}}, 2{"]" * 63}}}', GraphErrorReason.TOO_DEEP),
        ('{"1": {"class_type": "A", "inputs": {"\\ud800": "x"}}}', GraphErrorReason.BAD_TEXT),
    ],
)
def test_what_is_no_graph_is_refused_with_a_reason(text: str | bytes, reason: GraphErrorReason) -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph(text)
    assert caught.value.reason is reason
    assert str(caught.value) == caught.value.message


def test_a_syntax_error_says_where() -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph('{"1":\n  oops}')
    assert (caught.value.line, caught.value.column) == (2, 3)


def test_a_bad_node_is_named() -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph(f'{{"1": {NODE}, "seven": 7}}')
    assert caught.value.node_id == "seven"


def test_a_text_may_be_as_large_as_the_limit_and_no_larger() -> None:
    text = f'{{"1": {NODE}}}'
    assert parse_graph(text, Limits(max_bytes=len(text))).nodes
    with pytest.raises(GraphError) as caught:
        parse_graph(text, Limits(max_bytes=len(text) - 1))
    assert caught.value.reason is GraphErrorReason.TOO_LARGE


def test_the_limit_counts_bytes_not_characters() -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph('"üüü"', Limits(max_bytes=7))
    assert caught.value.reason is GraphErrorReason.TOO_LARGE


def test_a_graph_has_no_more_nodes_than_the_limit() -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph(f'{{"1": {NODE}, "2": {NODE}}}', Limits(max_nodes=1))
    assert caught.value.reason is GraphErrorReason.TOO_MANY_NODES


def test_a_text_of_very_many_values_is_refused_before_any_is_made() -> None:
    text = "[" + "{}," * 1_300_000 + "{}]"
    tracemalloc.start()
    with pytest.raises(GraphError) as caught:
        parse_graph(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.reason is GraphErrorReason.TOO_MANY_VALUES
    assert peak < 3 * len(text), "as values they take 72 bytes each"


def test_what_stands_in_a_string_is_no_value() -> None:
    prompt = 'a "quoted", [old], {red|blue} barn, ' * 5
    text = json.dumps({"1": {"class_type": "A", "inputs": {"text": prompt}}})
    assert parse_graph(text, Limits(max_values=5)).nodes["1"].inputs["text"] == prompt


def test_inputs_are_replaced_without_touching_the_original() -> None:
    graph = parse_graph('{"1": {"class_type": "A", "inputs": {"seed": 1}, "_meta": {"title": "T"}}}')
    changed = graph.with_inputs({("1", "seed"): 2**63, ("1", "steps"): 4})
    assert changed.nodes["1"].inputs == {"seed": 2**63, "steps": 4}
    assert changed.nodes["1"].title == "T"
    assert graph.nodes["1"].inputs == {"seed": 1}


def test_an_input_of_a_node_that_is_not_there_cannot_be_replaced() -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph(f'{{"1": {NODE}}}').with_inputs({("2", "seed"): 1})
    assert (caught.value.reason, caught.value.node_id) == (GraphErrorReason.UNKNOWN_INPUT, "2")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
nodes = st.fixed_dictionaries(
    {"class_type": st.text(max_size=8), "inputs": st.dictionaries(st.text(max_size=5), json_values, max_size=4)}
)


def values_in(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(values_in(each) for each in inner)


@given(value=json_values, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_no_more_values_pass_than_the_limit(value: object, *, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert holds_more_than(values_in(value) - 1, text)


@given(st.text(alphabet='"\\\\[]{},:a'), st.integers(0, 30))
def test_any_text_can_be_counted(text: str, count: int) -> None:
    assert holds_more_than(count, text) <= holds_more_than(0, text)


def test_a_text_of_quotes_that_never_close_is_looked_through_once() -> None:
    hostile = '\\"' * 2_000_000 + "," * 10
    assert not holds_more_than(11, hostile)
    assert not holds_more_than(1, '"' + hostile)


def test_what_is_counted_is_not_copied() -> None:
    hostile = "[" + '"\\"",' * 200_000
    tracemalloc.start()
    assert holds_more_than(150_000, hostile)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(hostile) / 10


def parse_or_refuse(text: str | bytes) -> Graph | None:
    try:
        return parse_graph(text, Limits(max_bytes=10_000, max_depth=8, max_nodes=5))
    except GraphError:
        return None


@given(st.text() | st.binary())
@example("[" * 5000)
@example('{"a":' * 2000)
def test_any_text_is_a_graph_or_a_graph_error(text: str | bytes) -> None:
    parse_or_refuse(text)


@given(json_values)
def test_any_json_is_a_graph_or_a_graph_error(value: object) -> None:
    parse_or_refuse(json.dumps(value))


@given(st.dictionaries(st.text(max_size=4), nodes | json_values, max_size=8))
def test_a_parsed_graph_is_within_the_limits_and_can_be_written(value: object) -> None:
    graph = parse_or_refuse(json.dumps(value))
    if graph is not None:
        assert 1 <= len(graph.nodes) <= 5
        assert parse_graph(graph.to_json()) == graph
