"""Reads what a server sends, from bytes. The only module that knows httptools, which wraps Node's parser llhttp.

Without IO. Whatever a server sends, no more is held than the body that was let in, and `_MOST_OVERHEAD`.
"""

from __future__ import annotations

from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from comfymesh.agent.http1.errors import BadResponseError, BrokenError

_MOST_OVERHEAD = 64 << 10
"""Bytes that are no body: a head, interim answers before it, framing of chunks, trailers. ComfyUI's heads have 200."""

_NO_BODY = frozenset({204, 304})


class ResponseReader:
    """The answers on one connection, one after the other.

    Attributes:
        status: HTTP status; 0 until the head is complete.
        body: What has come of the body, and was not taken.
        complete: Whether the body has come to its end.
        reusable: Whether the connection is good for another request once this answer is complete.
    """

    def __init__(self) -> None:
        self._parser: Any = HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """The next answer is expected."""
        self.status = 0
        self.body = bytearray()
        self.complete = self.reusable = False
        self._interim = self._sized = False
        self._overhead = self._headers = 0

    def feed(self, data: bytes) -> None:
        """Bytes have come.

        Raises:
            BadResponseError: They are no answer that is read. Nothing may be read after that.
        """
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise BadResponseError("the server changes the protocol") from None
        except HttpParserError as error:
            if not self.complete:
                cause = error.__context__ if isinstance(error.__context__, BadResponseError) else error
                raise BadResponseError(f"no HTTP answer: {cause}") from None
            self.reusable = False  # Whatever follows an answer was not asked for.
        self._limit(self._overhead)

    def end(self) -> None:
        """The server has closed the connection, which for some answers is their end.

        Raises:
            BrokenError: This one was not over.
        """
        self.reusable = False
        if self.complete:
            return
        if not self.status or self._sized:
            raise BrokenError("the server closed the connection before its answer was complete")
        self.complete = True

    def take(self) -> bytes:
        """What has come of the body since the last call."""
        taken = bytes(self.body)
        self.body.clear()
        return taken

    # What the parser calls. What is raised here ends its work.

    def on_message_begin(self) -> None:
        """The parser sees the beginning of an answer."""
        if self.complete:
            raise BadResponseError("an answer that was not asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """It has read a header, or a trailer."""
        self._headers += len(name) + len(value)
        self._limit(self._headers)
        match name.lower():
            case b"content-length":
                self._sized = True
            case b"transfer-encoding":
                self._sized = True
                _refuse_unless(value, b"chunked")
            case b"content-encoding":
                _refuse_unless(value, b"identity")

    def on_headers_complete(self) -> None:
        """It has read a head."""
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim:
            self._sized = False
            return
        self.status = status
        self._sized = self._sized or status in _NO_BODY
        self.reusable = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """It has read some of the body."""
        self.body += data
        self._overhead = 0

    def on_message_complete(self) -> None:
        """It has read an answer to its end."""
        self.complete = not self._interim

    def _limit(self, size: int) -> None:
        if size > _MOST_OVERHEAD and not self.complete:
            raise BadResponseError(f"more than {_MOST_OVERHEAD} bytes that are no body")


def _refuse_unless(value: bytes, known: bytes) -> None:
    if value.strip().lower() != known:
        raise BadResponseError(f"a body in the coding {value[:40].decode('latin-1')}, which was not asked for")
