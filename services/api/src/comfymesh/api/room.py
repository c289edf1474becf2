"""How many calls a server takes at a time, and whether it takes any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from comfymesh.api.errors import RefusedError, draining

_COME_BACK_SECONDS = 1.0


class Room:
    """Room for so many calls at a time, streams included: each costs memory for as long as it lasts.

    Args:
        most: How many.
        of: Which, as its refusals call them.
    """

    def __init__(self, most: int, of: str = "calls") -> None:
        self._most = most
        self._of = of
        self._taken = 0
        self._closed = False

    def enter(self) -> None:
        """Take a place; `leave` gives it back.

        Raises:
            RefusedError: there is none, or the server is stopping. There is nothing to give back then.
        """
        if self._closed:
            raise draining()
        if self._taken >= self._most:
            message = (
                f"this server has {self._most} {self._of} under way and takes no more;"
                " try another, or again in a moment"
            )
            raise RefusedError("SERVER_BUSY", message, {"limit": str(self._most)}, retry_after=_COME_BACK_SECONDS)
        self._taken += 1

    @contextmanager
    def place(self) -> Iterator[None]:
        """Have a place.

        Raises:
            RefusedError: as `enter`.
        """
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @property
    def taken(self) -> int:
        """How many calls are under way."""
        return self._taken

    def leave(self) -> None:
        """Give a place back."""
        self._taken -= 1

    def close(self) -> None:
        """From now on nobody comes in."""
        self._closed = True
