"""Staging: the graph as it is submitted, and files that are brought once."""

from __future__ import annotations

import pytest

from comfymesh.artifacts.content import Content
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.bus.port import BusUnavailableError
from comfymesh.bus.tasklog import SpecMissingError
from comfymesh.tasks.record import Key, TaskRecord
from comfymesh.testkit.benches import GRAPH, Bench, packed
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned, queued
from comfymesh.wire.v1 import spec_pb2


async def blob(bench: Bench, data: bytes, tenant: str = "default") -> spec_pb2.BlobRef:
    with Content.of(data) as content:
        await bench.store.put(tenant, content)
        return spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes)


def binding(file: spec_pb2.BlobRef, filename: str = "photo.png", input_: str = "image") -> spec_pb2.AssetBinding:
    return spec_pb2.AssetBinding(graph_node="1", input=input_, blob=file, filename=filename)


async def record_of(bench: Bench, spec: spec_pb2.Spec, task_id: str = "one", tenant: str = "default") -> TaskRecord:
    return (await bench.task(assigned(), task_id=task_id, key=Key(tenant, task_id), spec=spec)).record


async def test_a_graph_that_is_stored_as_a_blob_is_read_from_there(bench: Bench) -> None:
    file = await blob(bench, packed(GRAPH).graph_zlib)
    graph = await bench.workplace.staging.graph(await record_of(bench, spec_pb2.Spec(graph_blob=file)))
    assert graph["1"] == GRAPH["1"]


async def test_an_input_receives_the_name_under_which_its_file_was_stored(bench: Bench) -> None:
    file = await blob(bench, b"a photo")
    graph = await bench.workplace.staging.graph(await record_of(bench, packed(GRAPH, binding(file))))
    ((path, data),) = bench.session.http.uploaded
    assert (path, data) == (f"comfymesh/default/{file.sha256[:16]}-photo.png", b"a photo")
    assert graph["1"]["inputs"]["image"] == path


async def test_a_file_is_brought_once_and_again_after_it_was_forgotten(bench: Bench) -> None:
    staging = bench.workplace.staging
    file = await blob(bench, b"a photo")
    first = await record_of(bench, packed(GRAPH, binding(file), binding(file, input_="mask")))
    second = await record_of(bench, packed(GRAPH, binding(file)), "two")
    await staging.graph(first)
    await staging.graph(second)
    assert len(bench.session.http.uploaded) == 1
    staging.forget()
    await staging.graph(second)
    assert len(bench.session.http.uploaded) == 2


async def test_files_of_one_name_are_kept_apart(bench: Bench) -> None:
    files = [await blob(bench, data) for data in (b"a photo", b"another")]
    bindings = [binding(file, input_=f"image{number}") for number, file in enumerate(files)]
    graph = await bench.workplace.staging.graph(await record_of(bench, packed(GRAPH, *bindings)))
    assert len({graph["1"]["inputs"]["image0"], graph["1"]["inputs"]["image1"]}) == 2


async def test_tenants_do_not_share_their_files(bench: Bench) -> None:
    for tenant in ("red", "blue"):
        file = await blob(bench, b"a photo", tenant)
        graph = await bench.workplace.staging.graph(await record_of(bench, packed(GRAPH, binding(file)), tenant=tenant))
        assert graph["1"]["inputs"]["image"].startswith(f"comfymesh/{tenant}/")


@pytest.mark.parametrize(
    ("filename", "stored"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "file"),
        (".bashrc", "bashrc"),
        ("", "file"),
        ("a b\x00\n.png", "a_b_.png"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("x" * 300 + ".png", "x" * 60 + ".png"),
    ],
)
async def test_a_hostile_file_name_is_made_harmless(bench: Bench, filename: str, stored: str) -> None:
    file = await blob(bench, b"a photo")
    await bench.workplace.staging.graph(await record_of(bench, packed(GRAPH, binding(file, filename))))
    ((path, _),) = bench.session.http.uploaded
    assert path == f"comfymesh/default/{file.sha256[:16]}-{stored}"


async def test_what_is_missing_is_named(bench: Bench) -> None:
    missing = binding(spec_pb2.BlobRef(sha256="ef" * 32, size_bytes=5))
    with pytest.raises(BlobMissingError, match="ef" * 32):
        await bench.workplace.staging.graph(await record_of(bench, packed(GRAPH, missing)))
    with pytest.raises(SpecMissingError, match="two"):
        await bench.workplace.staging.graph(queued("two"))


async def test_what_is_away_says_so(bench: Bench) -> None:
    file = await blob(bench, b"a photo")
    record = await record_of(bench, packed(GRAPH, binding(file)))
    with bench.bus.away(), pytest.raises(BusUnavailableError):
        await bench.workplace.staging.graph(record)
    with bench.store_bus.away(), pytest.raises(StoreUnavailableError):
        await bench.workplace.staging.graph(record)
    bench.session.http.upload_error = error = unreachable("POST /upload/image")
    with pytest.raises(type(error)):
        await bench.workplace.staging.graph(record)
    bench.session.http.upload_error = None
    await bench.workplace.staging.graph(record)
    assert len(bench.session.http.uploaded) == 1
