"""Every route gives its answer, and every way of not answering is told apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.comfyui.errors import (
    REASON_BROKEN,
    REASON_REFUSED,
    REASON_TIMEOUT,
    ComfyUnreachable,
    OutputMissing,
)
from comfymesh.agent.comfyui.http import ComfyHttp, Timeouts
from comfymesh.agent.comfyui.outputs import OutputFile, OutputKind

from .fake_comfyui import FakeComfy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PICTURE = OutputFile("2", OutputKind.IMAGE, "a b&c_é.png", "mesh/ü", "output", 0)
PATH = "output/mesh/ü/a b&c_é.png"


@pytest.fixture
async def http(fake: FakeComfy) -> AsyncIterator[ComfyHttp]:
    async with ComfyHttp(fake.url + "/") as http:
        yield http


async def test_a_file_arrives_in_chunks(fake: FakeComfy, http: ComfyHttp) -> None:
    fake.files[PATH] = bytes(range(256)) * 5_000
    chunks = [chunk async for chunk in http.view(PICTURE)]
    assert b"".join(chunks) == fake.files[PATH]
    assert max(map(len, chunks)) <= 256 << 10


async def test_a_file_of_any_name_is_asked_for_as_it_is_called(fake: FakeComfy, http: ComfyHttp) -> None:
    fake.files[PATH] = b"x"
    assert [chunk async for chunk in http.view(PICTURE)] == [b"x"]


async def test_a_file_that_is_gone_is_missing(http: ComfyHttp) -> None:
    with pytest.raises(OutputMissing, match=r"a b&c_é\.png"):
        await anext(http.view(PICTURE))


async def test_an_upload_keeps_its_name_folder_and_content(fake: FakeComfy, http: ComfyHttp) -> None:
    content = bytes(3 << 20)
    assert await http.upload_image(content, "a-1_b.png", "task/x") == "task/x/a-1_b.png"
    assert fake.uploads == [("a-1_b.png", "task/x", "input", content)]


@pytest.mark.parametrize(
    ("name", "subfolder"),
    [("my photo.png", ""), ("é.png", ""), ("a/b.png", ""), ("..", ""), (".hidden", ""), ("", ""), ("a.png", "../x")],
)
async def test_an_upload_of_a_name_that_would_be_mangled_is_refused(
    fake: FakeComfy, http: ComfyHttp, name: str, subfolder: str
) -> None:
    with pytest.raises(ValueError, match="no plain name"):
        await http.upload_image(b"x", name, subfolder)
    assert fake.uploads == []


async def test_model_files_are_listed_by_kind(http: ComfyHttp) -> None:
    assert await http.models("vae") == ("a.safetensors", "sub/b.safetensors")
    assert await http.models("nonsense") is None


async def test_system_stats_tolerate_the_token_nan(http: ComfyHttp) -> None:
    assert (await http.system_stats())["devices"] == []


async def test_features_of_a_server_without_that_route_are_empty(http: ComfyHttp) -> None:
    assert await http.features() == {}


async def test_a_large_graph_is_submitted(fake: FakeComfy, http: ComfyHttp) -> None:
    graph = {"1": {"class_type": "Text", "inputs": {"text": "x" * (3 << 20)}}}
    accepted = await http.submit("p", graph, client_id="c")
    assert accepted.prompt_id == "p"
    assert fake.bodies[0]["prompt"] == graph


async def test_an_interrupt_always_names_its_prompt(http: ComfyHttp) -> None:
    with pytest.raises(ValueError, match="whatever runs"):
        await http.interrupt("")


async def test_a_closed_port_is_refused_and_nothing_was_sent(fake: FakeComfy, http: ComfyHttp) -> None:
    await fake.die()
    with pytest.raises(ComfyUnreachable) as error:
        await http.queue()
    assert error.value.reason == REASON_REFUSED
    assert not error.value.sent


async def test_silence_is_a_timeout(fake: FakeComfy) -> None:
    fake.gate.clear()
    async with ComfyHttp(fake.url, Timeouts(quick=0.05)) as http:
        with pytest.raises(ComfyUnreachable, match="GET /system_stats") as error:
            await http.system_stats()
    assert error.value.reason == REASON_TIMEOUT
    assert error.value.sent


async def test_a_connection_cut_within_a_request_may_have_been_carried_out(fake: FakeComfy, http: ComfyHttp) -> None:
    fake.answer = "cut"
    with pytest.raises(ComfyUnreachable) as error:
        await http.submit("p", {}, client_id="c")
    assert error.value.reason == REASON_BROKEN
    assert error.value.sent


async def test_a_server_that_is_no_comfyui_is_an_error_and_no_crash() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-nonsense\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, ComfyHttp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as http:
        with pytest.raises(ComfyUnreachable):
            await http.system_stats()


async def test_outside_of_its_context_nothing_is_sent(fake: FakeComfy) -> None:
    with pytest.raises(RuntimeError, match="outside of its context"):
        await ComfyHttp(fake.url).queue()
