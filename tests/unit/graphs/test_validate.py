"""A check finds everything that is wrong, in ComfyUI's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.graphs import (
    Catalog,
    Graph,
    GraphNode,
    JsonValue,
    Validation,
    ViolationType,
    parse_graph,
    validate,
)

DATA = Path(__file__).parents[2] / "data" / "comfyui"
CATALOG = Catalog.from_object_info(json.loads((DATA / "object_info_subset.json").read_text()))
MANIFEST = json.loads((DATA / "manifest.json").read_text())


def check(graph: dict[str, Any], **options: Any) -> Validation:
    return validate(parse_graph(json.dumps(graph)), CATALOG, **options)


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def empty_image(**changes: Any) -> dict[str, Any]:
    return node("EmptyImage", **{"width": 64, "height": 64, "batch_size": 1, "color": 0, **changes})


def save(source: Any, prefix: Any = "x") -> dict[str, Any]:
    return node("SaveImage", images=source, filename_prefix=prefix)


def types(validation: Validation) -> list[tuple[str | None, str]]:
    return [(fault.node_id, fault.type.value) for fault in validation.violations]


@pytest.mark.parametrize("name", [name for name in MANIFEST if MANIFEST[name]["http_status"] == 200])
def test_a_workflow_that_ran_can_run(name: str) -> None:
    validation = validate(parse_graph((DATA / "workflows" / name).read_text()), CATALOG)
    expected = MANIFEST[name].get("node_errors_on_200", {})
    assert types(validation) == [(node_id, kind) for node_id, kinds in expected.items() for kind in kinds]
    assert validation.is_partial is bool(expected)
    assert set(validation.runnable_outputs) >= set(MANIFEST[name]["outputs"])


@pytest.mark.parametrize("name", [name for name in MANIFEST if MANIFEST[name]["http_status"] == 400])
def test_a_workflow_that_was_refused_cannot_run(name: str) -> None:
    graph = parse_graph((DATA / "workflows" / name).read_text())
    validation = validate(graph, CATALOG, file_exists=lambda _name: False)
    assert validation.violations
    assert validation.runnable_outputs == ()


def recorded_node_errors() -> list[Any]:
    lines = map(json.loads, (DATA / "traces" / "05-validation-errors.jsonl").read_text().splitlines())
    return [
        pytest.param(line["req"]["prompt"], line["resp"]["node_errors"], id=str(line["t"]))
        for line in lines
        if line["kind"] == "http" and line["status"] == 400 and "exception" not in json.dumps(line["resp"])
    ]


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != "tooltip"}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("prompt", "node_errors"), list(recorded_node_errors()))
def test_violations_read_as_recorded(prompt: dict[str, Any], node_errors: dict[str, Any]) -> None:
    validation = check(prompt, file_exists=lambda _name: False)
    for node_id, recorded in node_errors.items():
        faults = [fault for fault in validation.violations if fault.node_id == node_id]
        assert {fault.class_type for fault in faults} == {recorded["class_type"]}
        assert {fault.dependent_outputs for fault in faults} == {tuple(recorded["dependent_outputs"])}
        written = [
            {"type": fault.type, "message": fault.message, "details": fault.details, "extra_info": fault.extra_info}
            for fault in faults
        ]
        assert plain(written) == plain(recorded["errors"])


def test_all_violations_are_found_at_once() -> None:
    validation = check(
        {
            "1": empty_image(width=0, height="abc", color=2**30),
            "2": node("ImageScale", image=["1", 0], upscale_method="best", width=5, height=5),
            "3": save(["2", 0]),
            "4": save(["99", 0]),
            "5": node("NoSuchClass", image=["1", 0]),
            "6": save(["1", 3]),
            "7": save(["1"]),
        }
    )
    assert sorted(types(validation), key=str) == [
        ("1", "invalid_input_type"),
        ("1", "value_bigger_than_max"),
        ("1", "value_smaller_than_min"),
        ("2", "required_input_missing"),
        ("2", "value_not_in_list"),
        ("4", "dangling_link"),
        ("5", "missing_node_type"),
        ("6", "no_such_output"),
        ("7", "bad_linked_input"),
    ]
    assert validation.runnable_outputs == ()
    assert validation.refused_outputs == ("3", "4", "6", "7")


def test_every_missing_class_is_reported_with_its_nearest_names() -> None:
    validation = check({"1": node("EmptyImag"), "2": node("Zzzz"), "3": save(["1", 0])})
    assert types(validation) == [("1", "missing_node_type"), ("2", "missing_node_type")]
    assert [fault.nearest[:1] for fault in validation.violations] == [("EmptyImage",), ()]


def test_a_missing_model_is_reported_with_its_nearest_names() -> None:
    validation = check({"1": node("UpscaleModelLoader", model_name="tiny-compact-3x.pth"), "2": save(["1", 0])})
    fault = next(fault for fault in validation.violations if fault.type is ViolationType.VALUE_NOT_IN_LIST)
    assert fault.nearest[0] in {"tiny-compact-2x.pth", "tiny-compact-4x.pth"}


def test_what_no_output_needs_is_not_checked() -> None:
    validation = check({"1": empty_image(width=0), "2": empty_image(), "3": save(["2", 0])})
    assert types(validation) == []


def test_links_by_inputs_that_the_class_lacks_are_ignored() -> None:
    graph = {"1": empty_image(width=0), "2": empty_image(), "3": save(["2", 0])}
    graph["3"]["inputs"]["no_such_input"] = ["1", 0]
    assert types(check(graph)) == []


def test_a_violation_names_every_output_that_needs_the_node() -> None:
    validation = check({"1": empty_image(width=0), "2": save(["1", 0]), "3": save(["1", 0], "y"), "4": empty_image()})
    assert validation.violations[0].dependent_outputs == ("2", "3")


def test_only_targets_count_as_outputs() -> None:
    graph = {"1": empty_image(), "2": save(["1", 0]), "3": empty_image(width=0), "4": save(["3", 0])}
    assert check(graph, targets=["2"]).runnable_outputs == ("2",)
    assert types(check(graph, targets=["1"])) == [(None, "prompt_no_outputs")]


def test_values_are_converted_to_the_type_of_their_input() -> None:
    validation = check({"1": empty_image(width="48", height=32.9), "2": save(["1", 0], prefix=7)})
    assert types(validation) == []
    assert validation.graph.nodes["1"].inputs["width"] == 48
    assert validation.graph.nodes["1"].inputs["height"] == 32
    assert validation.graph.nodes["2"].inputs["filename_prefix"] == "7"


@pytest.mark.parametrize("scale", ["nan", "-inf"])
def test_numbers_that_no_graph_can_hold_are_violations(scale: JsonValue) -> None:
    graph = {"1": empty_image(), "2": node("ImageScaleBy", image=["1", 0], upscale_method="area", scale_by=scale)}
    assert types(check({**graph, "3": save(["2", 0])})) == [("2", "invalid_input_type")]


def test_a_wrapped_list_is_a_value_and_no_link() -> None:
    validation = check({"1": empty_image(), "2": save(["1", 0], prefix={"__value__": ["a", "b"]})})
    assert validation.graph.nodes["2"].inputs["filename_prefix"] == "['a', 'b']"


def test_uploads_are_checked_only_by_who_can_see_them() -> None:
    graph = {"1": node("LoadImage", image="later.png"), "2": save(["1", 0])}
    assert types(check(graph)) == []
    assert types(check(graph, file_exists=lambda name: name != "later.png")) == [("1", "custom_validation_failed")]
    assert types(check(graph, file_exists=lambda name: name == "later.png")) == []


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("photo.png", False),
        ("a/b/photo.png", False),
        ("a/../photo.png", False),
        ("..photo.png", False),
        ("photo.png [output]", False),
        ("a: b.png", False),
        ("/etc/passwd", True),
        ("../photo.png", True),
        ("a/../../photo.png", True),
        ("..\\photo.png", True),
        ("C:\\boot.ini", True),
        ("/etc/passwd [output]", True),
        ("../x.png[temp]", True),
    ],
)
def test_no_upload_lies_outside_of_their_folder(name: str, out: bool) -> None:  # noqa: FBT001
    graph = {"1": node("LoadImage", image=name), "2": save(["1", 0])}
    assert types(check(graph)) == ([("1", "custom_validation_failed")] if out else [])


def test_long_lists_are_not_repeated() -> None:
    options: list[JsonValue] = [f"model-{number}.pth" for number in range(21)]
    info: dict[str, JsonValue] = {"input": {"required": {"name": [options, {}]}}, "output": [], "output_node": True}
    graph = Graph({"1": GraphNode("1", "Loader", {"name": "other.pth"})})
    fault = validate(graph, Catalog.from_object_info({"Loader": info})).violations[0]
    assert fault.details == "name: 'other.pth' not in (list of length 21)"
    assert fault.extra_info["input_config"] is None


def test_a_value_of_a_multiple_choice_may_be_a_wrapped_list() -> None:
    config: dict[str, JsonValue] = {"options": ["a", "b"], "multiselect": True}
    info: dict[str, JsonValue] = {"input": {"required": {"pick": ["COMBO", config]}}, "output_node": True}
    catalog = Catalog.from_object_info({"Pick": info})
    for value, found in ((["a", "b"], []), (["a", "z"], ["pick: 'z' not in ['a', 'b']"])):
        graph = Graph({"1": GraphNode("1", "Pick", {"pick": {"__value__": list[JsonValue](value)}})})
        assert [fault.details for fault in validate(graph, catalog).violations] == found


@pytest.mark.parametrize(
    ("produced", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("IMAGE", "*", True),
        ("IMAGE", "MASK,IMAGE", True),
        ("STRING,INT", "FLOAT, INT", True),
        (["a", "b"], "COMBO", True),
        (["a", "b"], "STRING", False),
        ("IMAGE", "COMFY_MATCHTYPE_V3", True),
    ],
)
def test_outputs_feed_inputs_of_a_fitting_type(produced: JsonValue, wanted: JsonValue, fits: bool) -> None:  # noqa: FBT001
    catalog = Catalog.from_object_info(
        {
            "Source": {"output": [produced]},
            "Sink": {"input": {"required": {"value": [wanted, {}]}}, "output_node": True},
        }
    )
    graph = Graph({"1": GraphNode("1", "Source", {}), "2": GraphNode("2", "Sink", {"value": ["1", 0]})})
    assert (not validate(graph, catalog).violations) is fits


def test_inputs_decided_at_submission_are_not_checked_but_followed() -> None:
    catalog = Catalog.from_object_info(
        {
            "Source": {"input": {"required": {"size": ["INT", {"min": 1}]}}, "output": ["IMAGE"]},
            "Many": {"input": {"required": {"images": ["COMFY_AUTOGROW_V3", {}]}}, "output_node": True},
        }
    )
    graph = Graph(
        {"1": GraphNode("1", "Source", {"size": 0}), "2": GraphNode("2", "Many", {"images.image0": ["1", 0]})}
    )
    assert types(validate(graph, catalog)) == [("1", "value_smaller_than_min")]


def test_a_long_chain_is_no_trouble() -> None:
    count = 4_000
    graph: dict[str, Any] = {"0": empty_image()}
    graph |= {str(number): node("ImageInvert", image=[str(number - 1), 0]) for number in range(1, count)}
    graph["end"] = save([str(count - 1), 0])
    assert check(graph).runnable_outputs == ("end",)


def test_a_long_cycle_is_no_trouble() -> None:
    count = 1_000
    graph: dict[str, Any] = {
        str(number): node("ImageInvert", image=[str((number + 1) % count), 0]) for number in range(count)
    }
    graph["end"] = save(["0", 0])
    assert {fault.type for fault in check(graph).violations} == {ViolationType.DEPENDENCY_CYCLE}


def test_models_are_found_whether_the_host_has_them_or_not() -> None:
    graph = {
        "1": node("CheckpointLoaderSimple", ckpt_name="tiny-sd3-random.safetensors"),
        "2": node("UpscaleModelLoader", model_name="other.pth"),
        "3": node("CustomLoader", file="deep/custom.GGUF"),
        "4": node("CLIPTextEncode", text="a file named x.safetensors", clip=["1", 1]),
        "5": node("LoadImage", image="picture.bin"),
    }
    assert [(model.name, model.node_id, model.input_name, model.known) for model in check(graph).models] == [
        ("tiny-sd3-random.safetensors", "1", "ckpt_name", True),
        ("other.pth", "2", "model_name", False),
        ("deep/custom.GGUF", "3", "file", False),
    ]


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.lists(st.text("123456", max_size=1) | st.integers(-3, 3), max_size=3)
    | st.dictionaries(st.sampled_from(["__value__", "x"]), st.integers(), max_size=1)
)
input_names = st.sampled_from(["images", "image", "width", "height", "batch_size", "color", "filename_prefix", "zzz"])
random_nodes = st.tuples(
    st.sampled_from(["EmptyImage", "SaveImage", "ImageInvert", "ImageScale", "LoadImage", "Missing"]),
    st.dictionaries(input_names, values, max_size=6),
)


@given(st.dictionaries(st.text("123456", min_size=1, max_size=1), random_nodes, min_size=1, max_size=6))
def test_every_output_is_either_runnable_or_refused(drawn: dict[str, tuple[str, dict[str, Any]]]) -> None:
    graph = Graph({node_id: GraphNode(node_id, name, inputs) for node_id, (name, inputs) in drawn.items()})
    validation = validate(graph, CATALOG, file_exists=lambda _name: False)
    outputs = {node_id for node_id, (name, _) in drawn.items() if name == "SaveImage"}
    assert set(validation.runnable_outputs) | set(validation.refused_outputs) == outputs
    assert not set(validation.runnable_outputs) & set(validation.refused_outputs)
    assert bool(validation.violations) is (set(validation.runnable_outputs) != outputs or not outputs)


def test_hints_are_for_the_first_few_however_much_is_missing() -> None:
    graph = {f"node-{n}": node(f"EmptyImag{n}") for n in range(200)}
    found = check({**graph, "1": node("SaveImag")}).violations
    assert len(found) == 201
    assert 1 <= sum(bool(violation.nearest) for violation in found) <= 8
