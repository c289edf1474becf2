"""Which files lie on an instance, which of them are needed, and which go when there are too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _File:
    size_bytes: int
    path: str
    certain: bool = True
    users: set[Hashable] = field(default_factory=set)


class Shelf:
    """Files by their folders, each of which holds one, in the order of their last use.

    Args:
        most_files: So many are kept.
        most_bytes: So much is kept. What is needed is kept all the same.
    """

    def __init__(self, most_files: int, most_bytes: int) -> None:
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._bytes = 0

    def take(self, folder: str, user: Hashable) -> str | None:
        """The path of a file, which `user` needs from now on. None where it has to be brought."""
        file = self._files.get(folder)
        if file is None or not file.certain:
            return None
        self._files.move_to_end(folder)
        file.users.add(user)
        return file.path

    def put(self, folder: str, path: str, size_bytes: int, user: Hashable) -> None:
        """A file was brought, and `user` needs it."""
        old = self._files.pop(folder, None)
        self._bytes += size_bytes - (old.size_bytes if old else 0)
        self._files[folder] = _File(size_bytes, path, users=(old.users if old else set()) | {user})

    def release(self, user: Hashable) -> None:
        """`user` needs nothing any more."""
        for file in self._files.values():
            file.users.discard(user)

    def doubt(self) -> None:
        """Any file may have been removed by somebody: each has to be brought again before it is used."""
        for file in self._files.values():
            file.certain = False

    def strike_all(self) -> None:
        """Everything goes."""
        self._files.clear()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether there is more than should be kept."""
        return len(self._files) > self._most_files or self._bytes > self._most_bytes

    def clear_out(self) -> list[str]:
        """Strike what is too much, least recently used first, and nothing that is needed; answers the folders."""
        gone = list[str]()
        for folder in [folder for folder, file in self._files.items() if not file.users]:
            if not self.full:
                break
            self._bytes -= self._files.pop(folder).size_bytes
            gone.append(folder)
        return gone
