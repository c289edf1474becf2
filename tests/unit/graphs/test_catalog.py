"""Catalogs are read from what instances answer, whatever custom nodes put there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.graphs import Catalog

SUBSET = json.loads((Path(__file__).parents[2] / "data" / "comfyui" / "object_info_subset.json").read_text())


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.from_object_info(SUBSET)


def test_every_recorded_class_is_read(catalog: Catalog) -> None:
    assert set(catalog.classes) == set(SUBSET)


def test_output_nodes_are_known(catalog: Catalog) -> None:
    outputs = {name for name, known in catalog.classes.items() if known.output_node}
    assert outputs == {"SaveImage", "PreviewImage", "ProbeUI"}


def test_ranges_and_types_are_kept(catalog: Catalog) -> None:
    seed = catalog.classes["KSampler"].inputs["seed"]
    assert (seed.type, seed.required, seed.config["max"]) == ("INT", True, 2**64 - 1)


def test_optional_inputs_are_not_required(catalog: Catalog) -> None:
    assert not catalog.classes["ImageCompositeMasked"].inputs["mask"].required


def test_hidden_inputs_are_left_out(catalog: Catalog) -> None:
    assert set(catalog.classes["SaveImage"].inputs) == {"images", "filename_prefix"}


@pytest.mark.parametrize(
    ("name", "input_name", "options"),
    [
        ("CheckpointLoaderSimple", "ckpt_name", ("tiny-sd3-random.safetensors",)),
        ("UpscaleModelLoader", "model_name", ("tiny-compact-2x.pth", "tiny-compact-4x.pth")),
    ],
)
def test_lists_are_read_in_the_older_and_the_newer_notation(
    catalog: Catalog, name: str, input_name: str, options: tuple[str, ...]
) -> None:
    spec = catalog.classes[name].inputs[input_name]
    assert (spec.type, spec.options) == ("COMBO", options)


def test_upload_inputs_say_what_they_take(catalog: Catalog) -> None:
    assert catalog.classes["LoadImage"].inputs["image"].upload == "image"
    assert catalog.classes["CheckpointLoaderSimple"].inputs["ckpt_name"].upload is None


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"input": None, "output": None},
        {"input": {"required": []}},
        {"input": {"required": {"a": None, "b": [], "c": "INT", "d": [None], "e": ["INT", "x"], "f": [["x"], None]}}},
        {"input": {"required": {"a": ["COMBO", {"options": "x"}]}}, "output": "IMAGE", "output_node": "yes"},
    ],
)
def test_an_odd_class_is_read_as_far_as_it_goes(info: dict[str, Any]) -> None:
    known = Catalog.from_object_info({"Odd": info}).classes["Odd"]
    assert known.outputs == ()
    assert not known.output_node


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["COMBO", "INT"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["input", "required", "optional", "options", "output", "x"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=4), anything, max_size=4))
def test_no_answer_makes_reading_fail(answer: dict[str, Any]) -> None:
    assert set(Catalog.from_object_info(answer).classes) <= set(answer)
