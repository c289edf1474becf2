"""What is answered without aiohttp is answered as aiohttp does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.emulator import Settings, server, serving
from comfymesh.emulator.quick import answer

PROMPT_ID = "11111111-2222-4333-8444-555555555555"
GRAPH = {"1": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}


def post(body: object, path: str = "/prompt") -> tuple[str, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"POST {path}", data


@pytest.mark.parametrize(
    ("line", "body"),
    [
        post({"prompt": GRAPH, "prompt_id": PROMPT_ID}),
        post({"prompt": GRAPH, "prompt_id": PROMPT_ID}, "/api/prompt"),
        post({}),
        post({"prompt": {}}),
        post({"prompt": GRAPH, "prompt_id": "none"}),
        post({"prompt": {"1": 1}}),
        post({"prompt": {"1": {"class_type": "Missing", "inputs": {}}}, "prompt_id": PROMPT_ID}),
        post(b"no json"),
        post(b"\xff\xfe"),
        post(7),
        (f"GET /history/{PROMPT_ID}", b""),
        (f"GET /api/history/{PROMPT_ID}", b""),
        (f"GET /history/{PROMPT_ID.upper()}", b""),
        (f"GET /History/{PROMPT_ID}", b""),
        (f"get /history/{PROMPT_ID}", b""),
    ],
)
async def test_both_ways_answer_the_same(tmp_path: Path, line: str, body: bytes) -> None:
    quick, slow = Settings(base_directory=tmp_path / "quick"), Settings(base_directory=tmp_path / "slow")
    async with serving(quick) as one, serving(slow) as other:
        length = f"Content-Length: {len(body)}\r\n" if line.startswith("POST") else ""
        plain = f"{line} HTTP/1.1\r\nHost: x\r\n{length}".encode()
        found = await answer_of(one, plain + b"\r\n" + body)
        assert found == await answer_of(other, plain + b"X-Other: 1\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("headers", "most"),
    [
        ("", 1000),
        ("Host: x\r\n", 10),
        ("Host: x\r\nhost: y\r\n", 1000),
        ("Host: x\r\nContent-Length: 3\r\n", 1000),
        ("Host: x\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n", 1000),
        (f"Host: x\r\nUser-Agent: {'a' * 9000}\r\n", 100_000),
    ],
)
async def test_what_aiohttp_refuses_is_refused(tmp_path: Path, headers: str, most: int) -> None:
    _, body = post({"prompt": GRAPH})
    async with serving(Settings(base_directory=tmp_path, max_upload_bytes=most)) as url:
        head = f"POST /prompt HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        found, _ = await answer_of(url, head.encode() + body)
        assert any(b" 400 " in line or b" 413 " in line for line in found)


async def test_what_the_agent_asks_for_every_prompt_is_answered_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bytes | None] = []
    monkeypatch.setattr(server, "answer", lambda emulator, data: told.append(answer(emulator, data)) or told[-1])
    async with serving(Settings(base_directory=tmp_path)) as url, ComfyHttp(url) as http:
        await http.submit(PROMPT_ID, GRAPH, client_id="x", extra_data={"preview_method": "auto"})
        await http.history(PROMPT_ID)
    assert len(told) == 2
    assert None not in told


async def answer_of(url: str, request: bytes) -> tuple[list[bytes], bytes]:
    """Headers, in any order and without the date, and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(request)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length:"))
    body = await reader.readexactly(length)
    writer.close()
    return sorted(line for line in head if not line.startswith(b"Date:")), body
