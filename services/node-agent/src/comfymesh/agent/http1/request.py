"""What is sent. Pure."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from comfymesh.agent.http1.address import Address

PIECE = 256 << 10
"""Bytes that are written at once: what a connection holds of a large request is about that much."""

_TARGET = re.compile(r"/[!-~]*")


class Request(NamedTuple):
    """A request.

    Attributes:
        method: GET or POST.
        target: Path and query, percent-encoded.
        body: Its body, in one or several parts.
        content_type: Of the body; empty where there is none.
    """

    method: str
    target: str
    body: Sequence[bytes] = ()
    content_type: str = ""

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method == "GET"

    def head(self, address: Address) -> bytes:
        """Everything in front of the body.

        Raises:
            ValueError: The target is none.
        """
        if not _TARGET.fullmatch(self.target):
            raise ValueError(f"{self.target!r} is no path")
        lines = f"{self.method} {address.prefix}{self.target} HTTP/1.1\r\n{address.headers}"
        if self.content_type:
            lines += f"Content-Type: {self.content_type}\r\n"
        # Of nothing as well, where it is asked for by POST: proxies refuse one without (RFC 9110, section 8.6).
        if not self.repeatable:
            lines += f"Content-Length: {sum(map(len, self.body))}\r\n"
        return f"{lines}\r\n".encode("ascii")

    def pieces(self, address: Address) -> Iterator[bytes | memoryview]:
        """All that is sent: in one piece if it is short, else so that none is longer than `PIECE`."""
        head = self.head(address)
        if len(head) + sum(map(len, self.body)) <= PIECE:
            yield b"".join((head, *self.body))
            return
        yield head
        for part in self.body:
            view = memoryview(part)
            yield from (view[at : at + PIECE] for at in range(0, len(view), PIECE))


def form(fields: Mapping[str, str], name: str, filename: str, content: bytes) -> tuple[str, tuple[bytes, ...]]:
    """A file and fields as `multipart/form-data` (RFC 7578).

    Args:
        fields: Name to value, both plain: nothing is escaped.
        name: The file's field, as plain.
        filename: The file's name, as plain.
        content: What is in it.

    Returns:
        Type and parts of the body.
    """
    boundary = secrets.token_hex(16)
    first = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    rest = "".join(
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}'
        for field, value in fields.items()
    )
    body = (first.encode(), content, f"{rest}\r\n--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", body
