"""Pools as callers see them, and what a caller may have loaded ahead of work."""

from __future__ import annotations

from typing import Any

import pytest

from comfymesh.api import pools, preloading
from comfymesh.api.errors import RefusedError
from comfymesh.api.fleet import Offer
from comfymesh.bus.intents import Intent, Preload
from comfymesh.graphs import Catalog
from comfymesh.tasks.placing import Site
from comfymesh.tasks.record import ModelFile
from comfymesh.v1.fleet_service_pb2 import PreloadModelsRequest
from comfymesh.v1.node_pb2 import Instance, Node, Pool, PreloadFile


def catalog(*files: str) -> Catalog:
    options = [list(files), {}]
    return Catalog.from_object_info(
        {
            "Load": {"input": {"required": {"file": options}}},
            "LoadAs": {"input": {"required": {"file": options, "dtype": [["fp8"], {}]}}},
            "Lora": {"input": {"required": {"lora": [["style.pt"], {}], "model": ["MODEL"]}}},
        }
    )


OFFERS = [
    Offer("nodes/a", "flux-0", "", catalog("flux.sft"), Site(pool="flux")),
    Offer("nodes/a", "other", "", catalog("sdxl.ckpt")),
    Offer("nodes/b", "flux-0", "its node does not report", catalog("flux.sft", "flux2.sft"), Site(pool="flux")),
    Offer("nodes/b", "new", "", None),
]


def request(*files: str | tuple[str, str], **fields: Any) -> PreloadModelsRequest:
    asked = [
        PreloadFile(name=file) if isinstance(file, str) else PreloadFile(name=file[1], input=file[0]) for file in files
    ]
    return PreloadModelsRequest(files=asked, **fields)


def refused(*files: str | tuple[str, str], **fields: Any) -> tuple[str, list[str]]:
    with pytest.raises(RefusedError) as caught:
        preloading.wish(request(*files, **fields), OFFERS)
    return caught.value.reason, [violation.description for violation in caught.value.violations]


def test_a_node_has_the_pools_that_it_tells_and_those_that_are_a_name() -> None:
    ready, stopped = Instance.STATE_READY, Instance.STATE_STOPPED
    instances = [
        Instance(name="flux-0", pool="flux", state=ready),
        Instance(name="flux-1", pool="flux", state=stopped),
        Instance(name="mine", pool="any", state=Instance.STATE_BUSY, runtime="attach"),
        Instance(name="alone", state=ready),
    ]
    node = Node(name="nodes/a", pools=[Pool(name="nodes/a/pools/flux", max=2), Pool(name="nodes/a/pools/empty", max=1)])
    node.instances.extend(instances)
    pools.fill(node)
    shown = [(p.name.rpartition("/")[2], list(p.instances), p.serving_count, p.HasField("max")) for p in node.pools]
    assert shown == [("any", ["mine"], 1, False), ("empty", [], 0, True), ("flux", ["flux-0", "flux-1"], 1, True)]


def test_pools_are_found_by_node_and_by_what_tasks_call_them() -> None:
    nodes = [Node(name=f"nodes/{n}", pools=[Pool(name=f"nodes/{n}/pools/{p}") for p in ("x", "y")]) for n in ("b", "a")]
    assert [pool.name for pool in pools.matching(nodes)] == [f"nodes/{n}/pools/{p}" for n in "ab" for p in "xy"]
    assert [pool.name for pool in pools.matching(nodes, node="nodes/b", pool="y")] == ["nodes/b/pools/y"]
    assert list(pools.matching(nodes, pool="z")) == []


def test_a_pool_is_asked_on_each_node_that_has_it() -> None:
    wish = preloading.wish(request("flux.sft", pool="flux"), OFFERS)
    assert wish.nodes == ("a", "b")
    assert wish.preload == Preload((ModelFile("Load", "file", "flux.sft"),), "flux")


def test_the_caller_may_say_what_loads_a_file() -> None:
    wish = preloading.wish(request(("LoadAs.file", "sdxl.ckpt"), node="nodes/a", instance="other"), OFFERS)
    assert (wish.nodes, wish.preload.files) == (("a",), (ModelFile("LoadAs", "file", "sdxl.ckpt"),))


def test_what_is_asked_of_no_instance_any_more_can_be_ended() -> None:
    wish = preloading.wish(request(node="nodes/c", pool="gone"), OFFERS)
    assert (wish.nodes, wish.preload) == (("c",), Preload((), "gone"))


def test_a_pool_that_no_instance_is_in_any_more_may_be_wanted_no_more() -> None:
    files = (ModelFile("Load", "file", "x"),)
    intents = [
        Intent("gone", preloads=(Preload(files, "old"),)),
        Intent("a", preloads=(Preload(files, "old"), Preload(files, "flux"))),
        Intent("b", preloads=(Preload(files, "old", "one"),)),
    ]
    wish = preloading.wish(request(pool="old"), OFFERS, intents)
    assert (wish.nodes, wish.preload) == (("gone", "a"), Preload((), "old"))
    assert refused(pool="old") == ("POOL_NOT_FOUND", [])


@pytest.mark.parametrize(
    ("files", "fields", "reason", "said"),
    [
        (("flux3.sft",), {"pool": "flux"}, "INPUT_INVALID", "did you mean flux.sft or flux2.sft?"),
        (("sdxl.ckpt",), {"pool": "flux"}, "INPUT_INVALID", "none of the instances has the model sdxl.ckpt"),
        (("style.pt",), {"node": "nodes/a"}, "INPUT_INVALID", "what takes it (Lora.lora) needs more than the file"),
        ((("Lora.lora", "style.pt"),), {"node": "nodes/a"}, "INPUT_INVALID", "Lora.lora needs more than the file"),
        ((("Load.no", "flux.sft"),), {"node": "nodes/a"}, "INPUT_INVALID", "no instance offers flux.sft at Load.no"),
        (("flux.sft",), {"pool": "none"}, "POOL_NOT_FOUND", ""),
        (("flux.sft",), {"node": "nodes/b", "pool": "none"}, "POOL_NOT_FOUND", ""),
        (("flux.sft",), {"node": "nodes/a", "instance": "none"}, "INSTANCE_NOT_FOUND", ""),
        (("flux.sft",), {"node": "nodes/c"}, "INSTANCE_NOT_FOUND", ""),
        (("flux.sft",), {"node": "nodes/b", "instance": "new"}, "INPUT_INVALID", "none of the instances has"),
    ],
)
def test_what_no_instance_could_load_is_refused(
    files: tuple[str | tuple[str, str], ...], fields: dict[str, str], reason: str, said: str
) -> None:
    found, words = refused(*files, **fields)
    assert found == reason
    assert said in " ".join(words)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (request("a"), "node"),
        (request("a", node="gpu-1"), "node"),
        (request("a", pool="x", instance="y"), "instance"),
        (request("a", pool="x" * 65), "pool"),
        (request("", pool="x"), "files[0].name"),
        (request(("noInput", "a"), pool="x"), "files[0].input"),
        (request(*["a"] * 33, pool="x"), "files"),
    ],
)
def test_requests_that_are_wrong_by_themselves(wrong: PreloadModelsRequest, field: str) -> None:
    assert [violation.field for violation in preloading.violations(wrong)] == [field]


def test_what_a_node_is_asked_is_bounded_and_what_has_no_files_ends() -> None:
    files, intent = (ModelFile("Load", "file", "x"),), Intent("a")
    for number in range(32):
        intent = preloading.added(intent, Preload(files, f"p{number}"))
    assert preloading.added(intent, Preload(files, "p3")).preloads[-1] == Preload(files, "p3")
    with pytest.raises(RefusedError):
        preloading.added(intent, Preload(files, "one more"))
    assert len(preloading.added(intent, Preload((), "p3")).preloads) == 31
