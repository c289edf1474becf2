"""How many calls a server takes at a time, and whether it takes any."""

from __future__ import annotations

from comfymesh.api.errors import RefusedError, draining

_COME_BACK_SECONDS = 1.0


class Room:
    """Room for so many calls at a time, streams included: each costs memory for as long as it lasts.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
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
                f"this server has {self._most} calls under way and takes no more; try another, or again in a moment"
            )
            raise RefusedError("SERVER_BUSY", message, {"limit": str(self._most)}, retry_after=_COME_BACK_SECONDS)
        self._taken += 1

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
