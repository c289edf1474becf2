"""What can go wrong with a request, besides TimeoutError."""

from __future__ import annotations


class ConnectError(Exception):
    """No connection came about, so nothing was sent."""


class BrokenError(Exception):
    """The connection ended before the answer did. The request may have been carried out."""


class BadResponseError(BrokenError):
    """What came is no answer as HTTP has it, or one that is not read."""


class BodyTooLargeError(Exception):
    """The body is larger than whoever asked wants to read."""
