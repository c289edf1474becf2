"""TLS to a real NATS server: encrypted, checked on both sides, and never given up quietly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comfymesh.bus.connection import Connection
from comfymesh.bus.server import BusUnusableError
from comfymesh.bus.tls import Tls
from comfymesh.testkit.certificates import Authority, Pair
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.waiting import until

_CONFIGURATION = """
listen: $NATS_LISTEN
http: $NATS_MONITOR
tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca}", verify: {verify} }}
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server(directory: Path, authority: Authority, *, verify: bool = False) -> NatsServer:
    pair = authority.issue("nats")
    configuration = directory / "tls.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            certificate=pair.certificate, key=pair.key, ca=authority.pair.certificate, verify=str(verify).lower()
        )
    )
    return NatsServer(directory, configuration)


def trusting(authority: Authority, pair: Pair | None = None) -> Tls:
    own = (str(pair.certificate), str(pair.key)) if pair else ()
    return Tls(str(authority.pair.certificate), *own)


@asynccontextmanager
async def connection(url: str, tls: Tls | None) -> AsyncIterator[Connection]:
    made = await Connection.open(url, "test", tls=tls)
    try:
        yield made
    finally:
        await made.close()


async def never_connects(url: str, tls: Tls | None, caplog: pytest.LogCaptureFixture, why: str) -> None:
    opening = asyncio.ensure_future(Connection.open(url, "test", tls=tls))
    await until(lambda: why in caplog.text, why)
    assert not opening.done()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)


async def test_the_line_is_encrypted_and_comes_back(tmp_path: Path, authority: Authority) -> None:
    async with server(tmp_path, authority) as nats, connection(nats.url, trusting(authority)) as bus:
        assert bus.connected
        await nats.restart()
        await until(lambda: bus.connected)


async def test_a_server_that_is_dead_is_left_without_its_goodbye(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "second").mkdir()
    one, two = server(tmp_path, authority), server(tmp_path / "second", authority)
    async with one, two, connection(f"{one.url},{two.url}", trusting(authority)) as bus:
        at, other = (one, two) if bus._client.connected_url.port == one.port else (two, one)
        at.freeze()
        await bus._client._process_op_err(ConnectionError("two pings were not answered"))
        await until(lambda: bus.connected, "another server")
        assert bus._client.connected_url.port == other.port


async def test_a_server_of_another_authority_is_not_believed(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(tmp_path, authority) as nats:
        await never_connects(nats.url, trusting(Authority(tmp_path, "other")), caplog, "certificate verify failed")


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_server_without_tls_is_told_nothing(
    tmp_path: Path, authority: Authority, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with NatsServer(tmp_path) as nats:
        url = nats.url.replace("nats://", f"{scheme}://user:secret@")
        tls = trusting(authority) if scheme == "nats" else None
        await never_connects(url, tls, caplog, "the server does not offer TLS")


async def test_a_server_that_asks_who_we_are_is_shown_a_certificate(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(tmp_path, authority, verify=True) as nats:
        async with connection(nats.url, trusting(authority, authority.issue("api"))) as bus:
            assert bus.connected
        stranger = Authority(tmp_path, "stranger").issue("impostor")
        await never_connects(nats.url, trusting(authority, stranger), caplog, "NATS at")


async def test_new_files_are_used_for_the_next_connection(tmp_path: Path, authority: Authority) -> None:
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes(authority.pair.certificate.read_bytes())
    async with server(tmp_path, authority) as nats, connection(nats.url, Tls(str(trusted))) as bus:
        successor = Authority(tmp_path, "successor")
        successor.issue("nats")  # in the place of the server's certificate
        trusted.write_bytes(successor.pair.certificate.read_bytes())
        await nats.restart()
        await until(lambda: bus.connected)


async def test_files_that_can_t_be_used_end_the_service(tmp_path: Path, authority: Authority) -> None:
    pair, other = authority.issue("api"), authority.issue("other")
    for tls in (Tls(str(tmp_path / "absent")), Tls(certificate=str(pair.certificate), key=str(other.key))):
        with pytest.raises(BusUnusableError, match="COMFYMESH_NATS_TLS_CA"):
            await Connection.open("nats://127.0.0.1:1", "test", tls=tls)
