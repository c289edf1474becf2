"""One server that behaves as badly as it likes, over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohappyeyeballs
import pytest

from comfymesh.agent.http1.client import HttpClient
from comfymesh.agent.http1.connection import Patience
from comfymesh.agent.http1.errors import BadResponseError, BodyTooLargeError, BrokenError, ConnectError
from comfymesh.agent.http1.request import Request
from comfymesh.stack.mesh import free_port
from comfymesh.testkit.certificates import Authority

Talk = Callable[["Peer"], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
GET, POST = Request("GET", "/queue"), Request("POST", "/prompt", (b"{}",), "application/json")


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def asked(self) -> bytes:
        """The head of the next request; its body has been read as well."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, found, length = head.partition(b"Content-Length: ")
        if found:
            await self.reader.readexactly(int(length.split(b"\r\n")[0]))
        return head

    async def say(self, *pieces: bytes) -> None:
        self.writer.writelines(pieces)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed its side."""
        while await self.reader.read(1 << 16):
            pass


class Server:
    """Each connection talks as the next of `talks` does, the last of which is repeated."""

    def __init__(self, *talks: Talk) -> None:
        self.talks = list(talks)
        self.requests: list[bytes] = []
        self.connections = 0
        self.called = asyncio.Event()
        self.heard = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = self.talks.pop(0) if len(self.talks) > 1 else self.talks[0]
        self.connections += 1
        self.called.set()
        peer = Peer(reader, writer)
        asked = peer.asked

        async def noted() -> bytes:
            self.requests.append(head := await asked())
            self.heard.set()
            return head

        peer.asked = noted  # type: ignore[method-assign]  # a spy
        try:
            await talk(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            self.over.set()


@asynccontextmanager
async def served(
    *talks: Talk, idle_seconds: float = 15.0, tls: ssl.SSLContext | None = None, user: str = ""
) -> AsyncIterator[tuple[Server, HttpClient]]:
    server = Server(*talks)
    listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    client = HttpClient(
        f"http{'s' if tls else ''}://{user}localhost:{port}", connect_seconds=5.0, idle_seconds=idle_seconds
    )
    try:
        yield server, client
    finally:
        await client.close()
        listening.close()
        await listening.wait_closed()


async def ask(client: HttpClient, request: Request = GET, *, seconds: float = 10.0, most: int = 100) -> bytes:
    response = await client.ask(request, client.within(seconds))
    try:
        return await response.read(most)
    finally:
        client.leave(response)


async def polite(peer: Peer) -> None:
    while True:
        await peer.asked()
        await peer.say(OK, b"ok")


def once(*pieces: bytes) -> Talk:
    """Answer the first request so; then say nothing more."""

    async def talk(peer: Peer) -> None:
        await peer.asked()
        await peer.say(*pieces)
        await peer.gone()

    return talk


def closing(*pieces: bytes) -> Talk:
    """Answer the first request so, and close."""

    async def talk(peer: Peer) -> None:
        await peer.asked()
        await peer.say(*pieces)
        peer.writer.close()
        await peer.writer.wait_closed()

    return talk


def then(*pieces: bytes) -> Talk:
    """Answer the first request well and the second one so; then say nothing more."""

    async def talk(peer: Peer) -> None:
        await peer.asked()
        await peer.say(OK, b"ok")
        await once(*pieces)(peer)

    return talk


async def silent(peer: Peer) -> None:
    await peer.gone()


async def answers_once_and_drops_the_second(peer: Peer) -> None:
    await peer.asked()
    await peer.say(OK, b"ok")
    await peer.asked()


async def test_one_after_the_other_they_share_a_connection_and_at_once_they_do_not() -> None:
    async with served(polite) as (server, client):
        assert [await ask(client) for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 1
        assert await asyncio.gather(*(ask(client) for _ in range(12))) == [b"ok"] * 12
        assert server.connections == 12
        assert len(client._kept) == 8


async def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    async with served(polite, idle_seconds=0.0) as (server, client):
        assert [await ask(client, POST) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 2


async def test_a_kept_connection_that_the_server_has_closed_is_not_used_again() -> None:
    async with served(closing(OK, b"ok")) as (server, client):
        for _ in range(2):
            assert await ask(client, POST) == b"ok"
            while client._open:  # noqa: ASYNC110  # the event loop's turns, until it has noticed
                await asyncio.sleep(0)
        assert server.connections == 2


async def test_a_question_whose_kept_connection_dies_is_asked_once_more() -> None:
    async with served(answers_once_and_drops_the_second, polite) as (server, client):
        assert [await ask(client) for _ in range(2)] == [b"ok"] * 2
        assert len(server.requests) == 3


async def test_what_may_have_been_done_is_never_asked_again() -> None:
    async with served(answers_once_and_drops_the_second, polite) as (server, client):
        await ask(client)
        with pytest.raises(BrokenError):
            await ask(client, POST)
        assert len(server.requests) == 2


async def test_no_question_is_asked_a_third_time() -> None:
    async with served(closing()) as (server, client):
        with pytest.raises(BrokenError, match="before its answer"):
            await ask(client)
        assert len(server.requests) == 2


async def test_a_question_that_was_answered_in_part_is_not_asked_again() -> None:
    async with served(closing(OK, b"o")) as (server, client):
        with pytest.raises(BrokenError, match="before its answer"):
            await ask(client)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "pieces",
    [
        (OK, b"ok", b"junk"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",),
    ],
)
async def test_a_connection_that_is_not_clean_is_not_kept(pieces: tuple[bytes, ...]) -> None:
    async with served(once(b"".join(pieces)), polite) as (server, client):
        assert [await ask(client, POST) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 2


async def test_words_in_between_cost_the_connection() -> None:
    async def talks_on(peer: Peer) -> None:
        await peer.asked()
        await peer.say(OK, b"ok")
        await told.wait()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await peer.gone()

    told = asyncio.Event()
    async with served(talks_on, polite) as (server, client):
        assert await ask(client) == b"ok"
        told.set()
        await server.over.wait()
        assert await ask(client, POST) == b"ok"
        assert server.connections == 2


async def test_an_answer_may_end_with_its_connection() -> None:
    async with served(closing(b"HTTP/1.0 200 OK\r\n\r\n", b"all of it")) as (_, client):
        assert await ask(client) == b"all of it"


async def test_whoever_gives_up_leaves_no_half_read_connection() -> None:
    async with served(once(OK, b"o"), polite) as (server, client):
        asking = asyncio.create_task(ask(client))
        await server.heard.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.over.wait()
        assert await ask(client, POST) == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize(
    "body", [b"Content-Length: 999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n" + b"20\r\n" + b"x" * 32 + b"\r\n"]
)
async def test_a_body_that_is_too_large_is_not_read_to_its_end(body: bytes) -> None:
    async def endless(peer: Peer) -> None:
        await peer.asked()
        await peer.say(b"HTTP/1.1 200 OK\r\n", body)
        while True:
            await peer.say(b"20\r\n" + b"x" * 32 + b"\r\n")

    async with served(endless) as (server, client):
        with pytest.raises(BodyTooLargeError, match="100 bytes"):
            await ask(client)
        await server.over.wait()


async def test_what_is_no_answer_ends_the_connection_and_nothing_else() -> None:
    async with served(once(b"SSH-2.0-nonsense\r\n\r\n"), polite) as (server, client):
        with pytest.raises(BadResponseError):
            await ask(client)
        assert len(server.requests) == 1
        assert await ask(client) == b"ok"


async def test_a_server_that_speaks_first_is_none() -> None:
    async def greets(peer: Peer) -> None:
        await peer.say(b"220 ready\r\n")
        await peer.gone()

    async with served(greets) as (_, client):
        with pytest.raises(BrokenError):
            await ask(client, POST)


@pytest.mark.parametrize("said", [(), (OK,), (OK, b"o"), (b"HTTP/1.0 200 OK\r\n\r\n", b"half a file")])
async def test_a_silence_has_an_end(said: tuple[bytes, ...]) -> None:
    async with served(then(*said)) as (server, client):
        await ask(client)  # It is connected from here on.
        with pytest.raises(TimeoutError, match="no answer in time"):
            await ask(client, POST, seconds=0.5)
        await server.over.wait()


async def test_a_transfer_may_take_long_but_not_be_silent() -> None:
    async with served(once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"some")) as (_, client):
        response = await client.ask(GET, Patience(silence=10.0))
        response._patience = Patience(silence=0.05)  # What is there has come with the head.
        taken = bytearray()
        with pytest.raises(TimeoutError, match="no answer in time"):  # noqa: PT012  # in which piece does not matter
            async for piece in response.pieces():
                taken += piece
        client.leave(response)
        assert taken == b"some"


async def test_a_large_file_arrives_whole_however_slowly_it_is_taken() -> None:
    content = bytes(range(256)) * 40_000

    async def large(peer: Peer) -> None:
        await peer.asked()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content), content)
        await peer.gone()

    async with served(large) as (_, client):
        response = await client.ask(GET, Patience(silence=10.0))
        taken = bytearray()
        async for piece in response.pieces():
            assert len(piece) <= 2 * (256 << 10)
            taken += piece
            await asyncio.sleep(0)
        client.leave(response)
        assert taken == content


async def test_a_server_that_refuses_an_upload_halfway_is_heard() -> None:
    async def refuses(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await heard.wait()

    heard = asyncio.Event()
    async with served(refuses, polite) as (server, client):
        large = Request("POST", "/upload/image", (bytes(64 << 20),), "x/y")
        response = await client.ask(large, Patience(silence=10.0))
        assert (response.status, await response.read(100)) == (413, b"no")
        client.leave(response)
        heard.set()
        assert await ask(client, POST) == b"ok"
        assert server.connections == 2


async def test_a_server_that_takes_nothing_of_an_upload_is_given_up() -> None:
    async with served(once()) as (server, client):
        server.talks = [lambda _: asyncio.sleep(30)]  # type: ignore[list-item]  # it does not even read
        large = Request("POST", "/upload/image", (bytes(64 << 20),), "x/y")
        with pytest.raises(TimeoutError):
            await client.ask(large, Patience(silence=0.05))


async def test_closing_ends_what_is_on_its_way() -> None:
    async with served(silent) as (server, client):
        asking = asyncio.create_task(ask(client, POST))
        await server.called.wait()
        await client.close()
        with pytest.raises(BrokenError, match="our side"):
            await asking
        with pytest.raises(BrokenError):
            await ask(client, POST)


async def test_nobody_listens() -> None:
    client = HttpClient(f"http://127.0.0.1:{free_port()}", connect_seconds=5.0, idle_seconds=15.0)
    with pytest.raises(ConnectError, match="ConnectionRefusedError"):
        await ask(client)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b"])
async def test_a_host_that_does_not_exist(host: str) -> None:
    # However long a name server is asked that does not answer.
    client = HttpClient(f"http://{host}", connect_seconds=100.0, idle_seconds=15.0)
    with pytest.raises(ConnectError):
        await ask(client, seconds=100.0)


async def test_a_connection_that_does_not_open_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", hang)
    client = HttpClient("http://127.0.0.1:1", connect_seconds=0.01, idle_seconds=15.0)
    with pytest.raises(TimeoutError, match="no connection in time"):
        await ask(client)


async def test_tls_and_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with served(polite, tls=context, user="me:secret@") as (server, client):
        with pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await ask(client)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pair.certificate))
    async with served(polite, tls=context, user="me:secret@") as (server, client):
        assert [await ask(client) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 1
        assert b"\r\nAuthorization: Basic bWU6c2VjcmV0\r\n" in server.requests[0]
