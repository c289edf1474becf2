"""Model files of a fleet: who has them, who holds them in memory, and who may see them."""

from __future__ import annotations

from comfymesh.api import models
from comfymesh.api.fleet import Offer
from comfymesh.graphs import Catalog, JsonValue
from comfymesh.graphs.catalog import MODEL_SIZES
from comfymesh.graphs.models import offered_models
from comfymesh.v1 import node_pb2, tenant_pb2


def catalog(**inputs: list[str]) -> Catalog:
    """A catalog of a class `Loader` whose inputs offer these values."""
    required = {name: [values, {}] for name, values in inputs.items()}
    return Catalog.from_object_info({"Loader": {"input": {"required": required}, "output": []}})


def node(name: str, *resident: str) -> node_pb2.Node:
    instance = node_pb2.Instance(name="comfyui", resident_models=resident)
    return node_pb2.Node(name=f"nodes/{name}", instances=[instance])


def offer(name: str, offered: Catalog | None) -> Offer:
    return Offer(f"nodes/{name}", "comfyui", "", offered)


BOTH = [
    offer("b", catalog(ckpt=["one.safetensors", "two.ckpt"], sampler=["euler"])),
    offer("a", catalog(ckpt=["one.safetensors"], refiner=["one.safetensors"])),
]
NODES = [node("a", "one.safetensors"), node("b")]


def test_each_model_is_told_once_with_all_its_places() -> None:
    one, two = models.models(BOTH, NODES)
    assert (one.name, two.name) == ("one.safetensors", "two.ckpt")
    assert [(place.node, place.resident) for place in one.places] == [("nodes/a", True), ("nodes/b", False)]
    assert list(one.inputs) == ["Loader.ckpt", "Loader.refiner"]


def test_each_place_is_told_with_the_size_of_the_file_there() -> None:
    sizes: dict[str, JsonValue] = {"one.safetensors": 7_000, "odd": "x", "none": 0}
    loader: dict[str, JsonValue] = {"input": {"required": {"m": [["one.safetensors"], {}]}}}
    known = Catalog.from_object_info({MODEL_SIZES: sizes, "Loader": loader})
    assert set(known.classes) == {"Loader"}
    (one,) = models.models([offer("a", known), offer("b", catalog(m=["one.safetensors"]))], NODES)
    assert [(place.node, place.size_bytes) for place in one.places] == [("nodes/a", 7_000), ("nodes/b", 0)]


def test_what_is_no_model_is_left_out() -> None:
    assert offered_models(catalog(sampler=["euler", "dpm"], count=[])) == {}


def test_a_catalog_that_is_not_known_yet_has_none() -> None:
    assert models.models([offer("a", None)], NODES) == []


def test_only_what_the_tenant_may_use_is_shown() -> None:
    assert [model.name for model in models.models(BOTH, NODES, tenant_pb2.Allowance(models=["two*"]))] == ["two.ckpt"]
    assert len(models.models(BOTH, NODES, tenant_pb2.Allowance(node_classes=["Loader"]))) == 2


def test_models_are_chosen_by_name_node_and_memory() -> None:
    known = models.models(BOTH, NODES)
    assert [model.name for model in models.matching(known, part="TWO")] == ["two.ckpt"]
    (one,) = models.matching(known, node="nodes/a")
    assert [place.node for place in one.places] == ["nodes/a"]
    (one,) = models.matching(known, resident_only=True)
    assert [(place.node, place.resident) for place in one.places] == [("nodes/a", True)]
    assert list(models.matching(known, node="nodes/b", resident_only=True)) == []
