"""What is looked at when a service starts: refusals that say what to do, and what is told of the server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from comfymesh.bus import streams
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import Entry
from comfymesh.bus.server import BusUnusableError
from comfymesh.bus.streams import ALL, TASKS
from comfymesh.runtime.errors import EXIT_CONFIGURATION
from comfymesh.testkit.nats import NatsServer

WITHOUT_JETSTREAM = "listen: $NATS_LISTEN\nhttp: $NATS_MONITOR\n"
LAZY = WITHOUT_JETSTREAM + "jetstream { store_dir: $NATS_STORE, sync_interval: 10s }\n"


def configured(directory: Path, text: str) -> NatsServer:
    path = directory / "other.conf"
    path.write_text(text)
    return NatsServer(directory, path)


@asynccontextmanager
async def server_that_says(**info: object) -> AsyncIterator[str]:
    """Something that says that it is a NATS server, and what for one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = {"server_id": "X", "server_name": "fake", "max_payload": 1 << 20, "headers": True, **info}
        writer.write(f"INFO {json.dumps(told)}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def refusal(url: str, replicas: int = 1) -> BusUnusableError:
    with pytest.raises(BusUnusableError) as refused:
        await JetStreamBus.open(url, "test", replicas=replicas)
    return refused.value


@pytest.mark.parametrize(
    ("version", "reason"), [("2.10.29", "SERVER_TOO_OLD"), ("2.12.8", "SERVER_KNOWN_BAD")], ids=["old", "bad"]
)
async def test_a_server_that_must_not_keep_the_log_is_refused_at_the_handshake(version: str, reason: str) -> None:
    async with server_that_says(version=version, jetstream=True) as url:
        assert (await refusal(url)).reason == reason


async def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    async with configured(tmp_path, WITHOUT_JETSTREAM) as server:
        refused = await refusal(server.url)
    assert refused.reason == "JETSTREAM_OFF"
    assert "store_dir" in str(refused)


async def test_more_replicas_than_servers_is_refused(nats: NatsServer) -> None:
    refused = await refusal(nats.url, replicas=3)
    assert refused.reason == "STREAM_MISMATCH"
    assert "COMFYMESH_NATS_REPLICAS" in str(refused)


async def test_a_service_that_is_refused_ends_with_one_line_and_an_exit_code(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALL", (replace(TASKS, storage=streams.Storage.MEMORY),))
    async with await JetStreamBus.open(nats.url, "somebody else"):
        pass
    scheduler = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from comfymesh.scheduler.main import main; main()"),
        env={**os.environ, "COMFYMESH_NATS_URL": nats.url},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await scheduler.communicate()
    lines = [json.loads(line) for line in told.decode().splitlines()]
    (critical,) = [line for line in lines if line["level"] == "critical"]
    assert critical["reason"] == "STREAM_MISMATCH"
    assert "TASKS" in critical["message"]
    assert not any("exception" in line for line in lines)
    assert scheduler.returncode == EXIT_CONFIGURATION


@pytest.mark.parametrize(
    ("text", "asked", "sync", "warns"),
    [
        ("", True, "always", False),
        ("", False, "unknown", False),
        (LAZY, True, "every 10 s", True),
    ],
    ids=["as shipped", "not asked", "lazy"],
)
async def test_the_start_tells_which_server_it_is_and_how_soon_it_syncs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, sync: str, *, asked: bool, warns: bool
) -> None:
    caplog.set_level(logging.INFO)
    async with configured(tmp_path, text) if text else NatsServer(tmp_path) as server:
        urls = server.monitor_url if asked else ""
        async with await JetStreamBus.open(server.url, "test", monitor_urls=urls) as bus:
            version = bus._connection.server.version
    (told,) = [vars(record) for record in caplog.records if vars(record).get("action") == "bus_connected"]
    assert (told["version"], told["cluster"], told["sync"]) == (version, "", sync)
    assert any(vars(record).get("action") == "bus_sync" for record in caplog.records) is warns


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc/passwd", "nonsense"])
async def test_a_monitoring_port_that_does_not_answer_keeps_nobody_from_starting(
    nats: NatsServer, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    caplog.set_level(logging.INFO)
    async with await JetStreamBus.open(nats.url, "test", monitor_urls=url):
        pass
    assert [vars(r)["sync"] for r in caplog.records if vars(r).get("action") == "bus_connected"] == ["unknown"]


async def test_another_servers_monitoring_port_is_not_believed(
    nats: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "second").mkdir()
    async with NatsServer(tmp_path / "second") as other:
        both = f"{other.monitor_url},{nats.monitor_url}"
        for urls, sync in ((other.monitor_url, "unknown"), (both, "always")):
            caplog.clear()
            async with await JetStreamBus.open(nats.url, "test", monitor_urls=urls):
                pass
            assert [vars(r)["sync"] for r in caplog.records if vars(r).get("action") == "bus_connected"] == [sync]


async def test_a_stream_of_an_earlier_version_is_brought_up_to_date_with_what_it_holds(nats: NatsServer) -> None:
    earlier = [replace(stream, expiring=False) for stream in ALL]
    async with await JetStreamBus.open(nats.url, "earlier", plan=earlier) as bus:
        await bus.append([Entry("task.default.one", b"kept", 0)])
    async with await JetStreamBus.open(nats.url, "later") as bus:
        assert (await bus.call("STREAM.INFO.TASKS", {}))["config"]["allow_msg_ttl"]
        last = await bus.last(TASKS, "task.default.one")
        assert last is not None
        assert last.data == b"kept"
