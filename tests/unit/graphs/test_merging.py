from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.graphs import Catalog, merging
from comfymesh.graphs.catalog import MODEL_SIZES

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "comfyui" / "object_info_subset.json").read_text())
HOSTILE = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.sampled_from(["COMBO", "input", "required", "options"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["input", "required", "options", "a"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def loader(name: str, written: Any) -> dict[str, Any]:
    return {"Loader": {"input": {"required": {name: written}}, "output": ["MODEL"]}}


def test_a_catalog_alone_is_itself() -> None:
    assert merging.merge([RECORDED]) == RECORDED
    assert merging.merge([RECORDED, RECORDED]) == RECORDED


def test_every_class_of_any_instance_is_there_and_nothing_that_is_none() -> None:
    merged = merging.merge([{"A": {"x": 1}, MODEL_SIZES: {"m": 5}}, {"B": {"y": 1}, "broken": 5}])
    assert merged == {"A": {"x": 1}, "B": {"y": 1}}


def test_a_list_of_options_holds_what_any_instance_offers() -> None:
    merged = merging.merge([loader("ckpt", [["a", "b"], {"tip": 1}]), loader("ckpt", [["b", "c"], {}])])
    assert merged == loader("ckpt", [["a", "b", "c"], {"tip": 1}])


def test_both_notations_of_options_are_united() -> None:
    merged = merging.merge([loader("ckpt", ["COMBO", {"options": ["a"]}]), loader("ckpt", [["b"]])])
    assert merged == loader("ckpt", ["COMBO", {"options": ["a", "b"]}])


def test_options_that_are_not_offered_are_left_out() -> None:
    kept = merging.without_options(loader("ckpt", [["a.safetensors", "b", 5]]), lambda option: option == "b")
    assert kept == loader("ckpt", [["b", 5]])


@given(st.lists(st.dictionaries(st.sampled_from("AB"), HOSTILE, max_size=2), max_size=3))
def test_whatever_custom_nodes_write_is_merged_and_read(catalogs: list[dict[str, Any]]) -> None:
    merged = merging.merge(catalogs)
    assert set(merged) == {name for each in catalogs for name, info in each.items() if isinstance(info, dict)}
    assert set(Catalog.from_object_info(merging.without_options(merged, lambda _: True)).classes) == set(merged)
