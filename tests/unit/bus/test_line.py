"""What the client writes to a line to NATS, and what it does with one that is gone before it has heard of that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from nats.aio.client import Client

from comfymesh.bus.client import MeshClient


@dataclass
class Line:
    """Stands for the library's transport, its writer, and the socket, which uvloop refuses to write to once closed."""

    gone: bool
    written: list[bytes] = field(default_factory=list)

    @property
    def _io_writer(self) -> Line:
        return self

    @property
    def transport(self) -> Line:
        """The socket's."""
        return self

    def is_closing(self) -> bool:
        """As of a transport."""
        return self.gone

    def get_write_buffer_size(self) -> int:
        """As of a transport whose other end reads."""
        return 0

    def write(self, data: bytes) -> None:
        """As of uvloop's."""
        if self.gone:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")
        self.written.append(data)


def client_on(line: Line) -> MeshClient:
    """A client that thinks that it is connected, with something to write."""
    client = MeshClient()
    client._status = Client.CONNECTED
    client._transport = line
    client._pending = [b"PUB a 1\r\n", b"1\r\n"]
    return client


def test_what_waits_is_written_at_once() -> None:
    client = client_on(line := Line(gone=False))
    client._write()
    assert line.written == [b"PUB a 1\r\n1\r\n"]
    assert not client._pending


def test_what_waits_is_kept_for_the_next_line_where_this_one_is_gone() -> None:
    client = client_on(Line(gone=True))
    client._write()
    assert client._pending == [b"PUB a 1\r\n", b"1\r\n"]
    client._transport = line = Line(gone=False)
    client._write()
    assert line.written == [b"PUB a 1\r\n1\r\n"]


async def test_a_message_is_written_as_the_protocol_has_it() -> None:
    client = client_on(line := Line(gone=False))
    client._pending = []
    client._flush_queue = asyncio.Queue()
    await client.publish("a", b"x\r\n")
    await client.publish("a", b"", "back.1")
    await client.publish("a", b"x", "back.1", {"Number": "1", "Reason": "so\r\nPUB b 0\r\n\r\n"})
    client._write()
    plain, head = (
        b"PUB a  3\r\nx\r\n\r\nPUB a back.1 0\r\n\r\n",
        b"NATS/1.0\r\nNumber: 1\r\nReason: so  PUB b 0    \r\n\r\n",
    )
    assert line.written == [plain + b"HPUB a back.1 %d %d\r\n%bx\r\n" % (len(head), len(head) + 1, head)]
