"""Typed inputs of workflows: whatever the graph, deriving and binding them is total, exact and consistent."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh import workflows
from comfymesh.graphs import Catalog, Graph, Hints, parse_graph
from comfymesh.v1.task_pb2 import InputValue
from comfymesh.v1.workflow_pb2 import InputTarget, WorkflowInput
from comfymesh.workflows.values import LARGEST, SMALLEST, complaint, number, value_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.one_of(st.integers(SMALLEST, LARGEST), st.integers(), st.sampled_from([2**53 + 1, 2**63, LARGEST]))
SCALARS = st.one_of(st.booleans(), INTEGERS, st.floats(allow_nan=False, allow_infinity=False), TEXT, st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=4,
)
NAMES = st.one_of(st.sampled_from(["text", "seed", "image", "positive", "negative", "Seed", "__value__"]), TEXT)
IDS = st.one_of(st.sampled_from(["1", "2", "3", "57:8", "a.b"]), TEXT)
CLASSES = st.sampled_from(["Text", "Sampler", "Load", "Save", "Nobody"])
LINKS = st.tuples(IDS, st.integers(-2, 2)).map(list)
NODES = st.fixed_dictionaries(
    {"class_type": CLASSES, "inputs": st.dictionaries(NAMES, st.one_of(VALUES, LINKS), max_size=5)},
    optional={"_meta": st.fixed_dictionaries({"title": TEXT})},
)
GRAPHS = st.dictionaries(IDS, NODES, min_size=1, max_size=6).map(lambda graph: parse_graph(json.dumps(graph)))
TYPES = st.one_of(
    st.sampled_from(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "IMAGE", "COMFY_DYNAMIC"]),
    st.lists(SCALARS, max_size=4),
)
CONFIG = st.dictionaries(st.sampled_from(["min", "max", "default", "tooltip", "options", "image_upload"]), VALUES)
WRITTEN = st.tuples(TYPES, CONFIG).map(list)
SECTIONS = st.fixed_dictionaries({"required": st.dictionaries(NAMES, WRITTEN, max_size=5)})
INFO = st.fixed_dictionaries(
    {
        "input": SECTIONS,
        "output": st.lists(st.sampled_from(["IMAGE", "MASK"]), max_size=2),
        "output_node": st.booleans(),
    }
)
CATALOGS = st.dictionaries(CLASSES, INFO, max_size=4).map(Catalog.from_object_info)
MESSAGES = st.builds(
    InputValue,
    int64_value=st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
)
ANY_VALUE = st.one_of(
    MESSAGES,
    st.just(InputValue()),
    st.builds(InputValue, uint64_value=st.integers(0, LARGEST)),
    st.builds(InputValue, double_value=st.floats()),
    st.builds(InputValue, string_value=TEXT),
    st.builds(InputValue, bool_value=st.booleans()),
    st.builds(InputValue, asset=TEXT),
)
SPECS = st.builds(
    WorkflowInput,
    name=st.one_of(st.sampled_from(["a", "b", "seed"]), TEXT),
    kind=st.integers(0, 12),
    targets=st.lists(st.builds(InputTarget, graph_node=IDS, input=NAMES), max_size=3),
    description=TEXT,
    required=st.booleans(),
    default_value=st.one_of(st.none(), ANY_VALUE),
    minimum=st.one_of(st.none(), ANY_VALUE),
    maximum=st.one_of(st.none(), ANY_VALUE),
    options=st.lists(TEXT, max_size=3),
)


def written(graph: Graph, binding: workflows.Binding) -> dict[str, Any]:
    """The graph's text with what was bound, read again."""
    values = {place: getattr(value, str(value.WhichOneof("kind"))) for place, value in binding.values.items()}
    read: dict[str, Any] = json.loads(graph.with_inputs(values).to_json())
    return read


@settings(max_examples=60)
@given(GRAPHS, CATALOGS)
def test_what_is_derived_can_be_stored(graph: Graph, catalog: Catalog) -> None:
    assert workflows.violations(workflows.derive(graph, catalog.classes), graph) == []


@settings(max_examples=60)
@given(GRAPHS, CATALOGS)
def test_giving_a_graph_what_it_holds_changes_nothing(graph: Graph, catalog: Catalog) -> None:
    specs = workflows.derive(graph, catalog.classes)
    held = {
        spec.name: value_of(graph.nodes[spec.targets[0].graph_node].inputs[spec.targets[0].input]) for spec in specs
    }
    fitting = {name: value for name, value in held.items() if value is not None}
    binding = workflows.bind(specs, fitting, complete=False)
    bound = {binding.origins[place] for place in binding.values}
    assert bound == fitting.keys() - {name for name, _ in binding.wrong}
    assert written(graph, binding) == json.loads(graph.to_json())


@given(st.integers(SMALLEST, LARGEST))
def test_integers_keep_all_their_digits(seed: int) -> None:
    graph = parse_graph('{"3": {"class_type": "KSampler", "inputs": {"seed": 0}}}')
    spec = WorkflowInput(
        name="seed", kind=WorkflowInput.KIND_INTEGER, targets=[InputTarget(graph_node="3", input="seed")]
    )
    value = value_of(seed)
    assert value is not None
    assert number(value) == seed
    bound = workflows.bind([spec], {"seed": InputValue.FromString(value.SerializeToString())})
    assert written(graph, bound)["3"]["inputs"]["seed"] == seed


@settings(max_examples=60)
@given(GRAPHS, CATALOGS, st.data())
def test_inputs_that_pass_the_checks_bind_whatever_is_given(
    graph: Graph, catalog: Catalog, data: st.DataObject
) -> None:
    specs = [*workflows.derive(graph, catalog.classes), *data.draw(st.lists(SPECS, max_size=1))]
    for spec in specs:
        if data.draw(st.booleans()):
            spec.required = False
            spec.default_value.CopyFrom(data.draw(ANY_VALUE))
    some = st.sampled_from([spec.name for spec in specs]) if specs else TEXT
    given_values = data.draw(st.dictionaries(st.one_of(some, TEXT), ANY_VALUE, max_size=3))
    binding = workflows.bind(specs, given_values)  # never raises, checked or not
    if workflows.violations(specs, graph):
        return
    graph.with_inputs(dict.fromkeys(binding.values))  # every place is there
    for place, value in binding.values.items():
        (spec,) = [each for each in specs if each.name == binding.origins[place]]
        assert complaint(spec, value, Hints()) == ""
        assert value == given_values.get(spec.name, spec.default_value)


@settings(max_examples=60)
@given(GRAPHS, CATALOGS, st.integers(1, 3))
def test_a_review_tells_all_that_a_refusal_would(graph: Graph, catalog: Catalog, instances: int) -> None:
    found = workflows.review(graph, [workflows.Offered(catalog, instances)], {})
    assert found.instances == instances
    errors = [each for each in found.violations if each.severity == each.SEVERITY_ERROR]
    assert (found.able == instances) is not bool(errors)
    assert not set(found.runnable_outputs) & set(found.dropped_outputs)
    assert {node for each in errors for node in each.dropped_outputs} <= set(found.dropped_outputs)
