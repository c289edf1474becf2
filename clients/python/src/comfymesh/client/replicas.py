"""Which of several equal servers is asked. Pure."""

from __future__ import annotations

from comfymesh.client.errors import InvalidRequest

TARGET_UNUSABLE = "TARGET_UNUSABLE"
_LAST_PORT = 65535
_URLS = ("http://", "https://", "grpc://", "grpcs://")


class Replicas:
    """The servers that a target names, one of which is asked until it fails.

    Args:
        target: Their addresses, separated by commas.
        chance: From 0 to below 1: which of them is asked first, so that clients spread.

    Raises:
        InvalidRequest: An address is missing, or can't be one.
    """

    def __init__(self, target: str, chance: float) -> None:
        self.names = tuple(name.strip() for name in target.split(","))
        if not all(self.names):
            text = f"The target {target!r} lacks an address: give HOST:PORT, or several of them with commas between."
            raise InvalidRequest(text, reason=TARGET_UNUSABLE)
        for name in self.names:
            _check(name)
        self._place = int(chance * len(self.names))

    @property
    def several(self) -> bool:
        """Whether there is another one to go to."""
        return len(self.names) > 1

    @property
    def current(self) -> str:
        """The one that is asked now."""
        return self.names[self._place]

    def leave(self, name: str) -> None:
        """The server failed a call: ask the next one, unless another call that it failed has gone on already."""
        if name == self.current:
            self._place = (self._place + 1) % len(self.names)


def _check(name: str) -> None:
    """Refuse what gRPC would look up, to say that nobody answers."""
    port = name.rpartition(":")[2]
    if name.lower().startswith(_URLS):
        wrong = "is a URL"
    elif port.isdecimal() and (len(port) > len(str(_LAST_PORT)) or int(port) > _LAST_PORT):
        wrong = f"has a port above {_LAST_PORT}"
    else:
        return
    text = f"The target {name!r} {wrong}: give HOST:PORT, such as mesh.example:7700, and ask for TLS apart from it."
    raise InvalidRequest(text, reason=TARGET_UNUSABLE)
