"""Staging: the graph as it is submitted, and files that are brought once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from comfymesh.agent.domain.shelf import Shelf
from comfymesh.agent.staging import Staging
from comfymesh.agent.url_inputs import Bindings, Fetched, InputError
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.bus.port import BusUnavailableError
from comfymesh.bus.tasklog import SpecMissingError
from comfymesh.egress.fetch import FetchError
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, State, TaskRecord
from comfymesh.testkit.benches import FOLDERS, GRAPH, SUCCESS, Bench, packed
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned, queued
from comfymesh.wire.v1 import spec_pb2


async def blob(bench: Bench, data: bytes, tenant: str = "default") -> spec_pb2.BlobRef:
    with Content.of(data) as content:
        await bench.store.put(tenant, content)
        return spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes)


def binding(file: spec_pb2.BlobRef, filename: str = "photo.png", input_: str = "image") -> spec_pb2.AssetBinding:
    return spec_pb2.AssetBinding(graph_node="1", input=input_, blob=file, filename=filename)


def path_of(file: spec_pb2.BlobRef, name: str = "photo.png", tenant: str = "default") -> str:
    return f"{FOLDERS.of_input(tenant, file.sha256, name)}/{name}"


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
    assert (path, data) == (path_of(file), b"a photo")
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
    paths = set[str]()
    for tenant in ("red", "blue"):
        file = await blob(bench, b"a photo", tenant)
        graph = await bench.workplace.staging.graph(await record_of(bench, packed(GRAPH, binding(file)), tenant=tenant))
        paths.add(graph["1"]["inputs"]["image"])
        assert tenant not in graph["1"]["inputs"]["image"]
    assert len(paths) == len(bench.session.http.uploaded) == 2


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
    assert path == path_of(file, stored)


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


def small_staging(bench: Bench, removed: list[str]) -> Staging:
    async def sweep(folders: Sequence[str]) -> None:
        removed.extend(folders)

    return Staging(bench.log, lambda _: bench.store, FOLDERS, bench.session.http, sweep, shelf=Shelf(1, 1000))


async def test_files_that_nobody_needs_go_when_there_are_too_many(bench: Bench) -> None:
    removed: list[str] = []
    staging = small_staging(bench, removed)
    files = [await blob(bench, data) for data in (b"a photo", b"another", b"a third")]
    records = [
        await record_of(bench, packed(GRAPH, binding(file)), task_id)
        for file, task_id in zip(files, ("one", "two", "three"), strict=True)
    ]
    folders = [FOLDERS.of_input("default", file.sha256, "photo.png") for file in files]
    for record in records:
        await staging.graph(record)
    await asyncio.sleep(1)
    assert removed == []
    staging.release(records[1].key, 1)
    await asyncio.sleep(1)
    assert removed == [folders[1]]
    staging.release(records[0].key, 1)
    staging.release(records[2].key, 1)
    await asyncio.sleep(1)
    assert removed == [folders[1], folders[0]]
    await staging.graph(records[1])
    await staging.graph(records[2])
    assert len(bench.session.http.uploaded) == 4
    await staging.close()


async def test_no_file_is_brought_while_others_are_removed(bench: Bench) -> None:
    may_go_on, happened = asyncio.Event(), list[str]()

    async def sweep(_: Sequence[str]) -> None:
        await may_go_on.wait()
        happened.append(f"removed, {len(bench.session.http.uploaded)} brought")

    staging = Staging(bench.log, lambda _: bench.store, FOLDERS, bench.session.http, sweep, shelf=Shelf(0, 1000))
    record = await record_of(bench, packed(GRAPH, binding(await blob(bench, b"a photo"))))
    await staging.graph(record)
    staging.release(record.key, 1)
    again = asyncio.create_task(staging.graph(record))
    await asyncio.sleep(1)
    assert not again.done()
    may_go_on.set()
    await again
    assert happened == ["removed, 1 brought"]
    assert len(bench.session.http.uploaded) == 2
    await staging.close()


async def test_an_attempt_that_has_ended_needs_its_files_no_more(bench: Bench) -> None:
    removed: list[str] = []
    staging = bench.workplace.staging = small_staging(bench, removed)
    other = await record_of(bench, packed(GRAPH, binding(await blob(bench, b"another"))), "other")
    await staging.graph(other)
    staging.release(other.key, 1)
    file = await blob(bench, b"a photo")
    _, running = await bench.attempt_at(spec=packed(GRAPH, binding(file)))
    prompt = await bench.session.prompt()
    prompt.begin()
    await asyncio.sleep(1)
    third = await record_of(bench, packed(GRAPH, binding(await blob(bench, b"a third"))), "third")
    await staging.graph(third)
    staging.release(third.key, 1)
    await asyncio.sleep(1)
    assert FOLDERS.of_input("default", file.sha256, "photo.png") not in removed
    prompt.end(SUCCESS)
    await running
    await staging.graph(third)
    staging.release(third.key, 1)
    await asyncio.sleep(1)
    assert FOLDERS.of_input("default", file.sha256, "photo.png") in removed
    await staging.close()


async def test_what_was_removed_all_together_is_brought_again(bench: Bench) -> None:
    removed: list[str] = []
    staging = small_staging(bench, removed)
    record = await record_of(bench, packed(GRAPH, binding(await blob(bench, b"a photo"))))
    await staging.graph(record)
    assert not await staging.remove_all(lambda: False)
    assert removed == []
    assert await staging.remove_all(lambda: True)
    assert removed == ["comfymesh/inputs"]
    await staging.graph(record)
    assert len(bench.session.http.uploaded) == 2


class Outside:
    """Files by their URL, and how often they were asked for. A URL without one never answers."""

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.asked = list[tuple[str, tuple[str, ...]]]()

    async def fetch(self, bindings: Bindings, hosts: Sequence[str]) -> AsyncGenerator[Any]:
        for binding in bindings:
            self.asked.append((binding.url, tuple(hosts)))
            if binding.url not in self.files:
                await asyncio.Event().wait()
            data = self.files[binding.url]
            yield binding, Fetched(data, hashlib.sha256(data).hexdigest(), "photo.png")


def by_url(*urls: str) -> spec_pb2.Spec:
    spec = packed(GRAPH)
    for number, url in enumerate(urls):
        spec.urls.add(graph_node="1", input=f"image{number}", url=url)
    spec.url_hosts.append("*.example")
    return spec


async def test_a_file_from_outside_is_fetched_each_time_and_brought_once(bench: Bench) -> None:
    outside = Outside(here=b"a photo", there=b"a photo", elsewhere=b"another")
    staging = Staging(bench.log, lambda _: bench.store, FOLDERS, bench.session.http, nothing_is_swept, outside.fetch)
    for task_id in ("one", "two"):
        graph = await staging.graph(await record_of(bench, by_url("here", "there", "elsewhere"), task_id))
    assert [data for _, data in bench.session.http.uploaded] == [b"a photo", b"another"]
    assert [path for path, _ in bench.session.http.uploaded] == [
        graph["1"]["inputs"]["image0"],
        graph["1"]["inputs"]["image2"],
    ]
    assert outside.asked == [(url, ("*.example",)) for url in ("here", "there", "elsewhere")] * 2


async def test_where_nothing_is_set_up_to_fetch_no_url_is_taken(bench: Bench) -> None:
    with pytest.raises(InputError) as refused:
        await bench.workplace.staging.graph(await record_of(bench, by_url("https://files.example/secret")))
    assert refused.value.failure is FailureClass.INPUT_INVALID
    assert refused.value.metadata == {"input": "1.image0", "host": "", "problem": "HOST_NOT_ALLOWED"}
    assert "secret" not in str(refused.value)


async def nothing_is_swept(_: Sequence[str]) -> None:
    pass


async def test_a_fetch_that_lasts_ends_when_the_attempt_is_stopped(bench: Bench) -> None:
    bench.workplace.staging = Staging(
        bench.log, lambda _: bench.store, FOLDERS, bench.session.http, nothing_is_swept, Outside().fetch
    )
    stored = await bench.task(spec=by_url("never"))
    attempt = bench.attempt(bench.offered(stored))
    running = asyncio.create_task(attempt.run())
    await asyncio.sleep(1)
    attempt.give_back("the agent is stopping")
    await running
    assert bench.session.submitted == []
    assert bench.last().state is State.QUEUED


@pytest.mark.parametrize(
    ("failure", "state"), [(FailureClass.INPUT_INVALID, State.FAILED), (FailureClass.INPUT_UNAVAILABLE, State.QUEUED)]
)
async def test_a_file_that_cant_be_had_ends_the_attempt_in_its_own_way(
    bench: Bench, failure: FailureClass, state: State
) -> None:
    async def fetch(bindings: Bindings, hosts: Sequence[str]) -> AsyncGenerator[Any]:
        problem = FetchError("HTTP_404", "files.example", "it answered 404")
        raise InputError(failure, bindings[0], problem)
        yield hosts

    bench.workplace.staging = Staging(
        bench.log, lambda _: bench.store, FOLDERS, bench.session.http, nothing_is_swept, fetch
    )
    await bench.attempt(bench.offered(await bench.task(spec=by_url("https://files.example/x")))).run()
    record = bench.last()
    assert (record.state, record.failures[-1].failure) == (state, failure)
    assert record.error is None or record.error.metadata["problem"] == "HTTP_404"
