"""Where a watcher of many tasks is, and the token that says so. Pure."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from dataclasses import dataclass

from comfymesh.api.errors import RefusedError, Violation
from comfymesh.api.readmodel import Place

BEGINNING = Place(math.inf, "")
"""Before the first of the tasks that were there."""

_POSITION = struct.Struct(">Q")
_PLACE = struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a watcher has come.

    Attributes:
        position: Every change up to this sequence of the log was told, or is told with the tasks that were there.
        place: The last of those tasks that was told; None once all were, or where none was wanted.
    """

    position: int
    place: Place | None = None


def make_token(bookmark: Bookmark) -> str:
    """The resume token for a bookmark."""
    data = _POSITION.pack(bookmark.position)
    if bookmark.place is not None:
        data += _PLACE.pack(bookmark.place.created) + bookmark.place.task_id.encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def read_token(token: str) -> Bookmark:
    """The bookmark in a token.

    Raises:
        RefusedError: the token is none of ours.
    """
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        (position,) = _POSITION.unpack_from(data)
        if len(data) == _POSITION.size:
            return Bookmark(position)
        (created,) = _PLACE.unpack_from(data, _POSITION.size)
        return Bookmark(position, Place(created, data[_POSITION.size + _PLACE.size :].decode()))
    except (binascii.Error, ValueError, struct.error):
        violation = Violation("resume_token", "was not made by this method; begin again without one")
        raise RefusedError(
            "INPUT_INVALID", f"the resume token {violation.description}", violations=[violation]
        ) from None
