"""The file of a backup: a tar of the pieces of each stream, with the manifest and its SHA-256 at the end.

What was cut off has no manifest, and so is no backup.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from comfymesh.backup import manifest
from comfymesh.backup.errors import BackupError
from comfymesh.backup.manifest import Manifest, Part, StreamBackup

_PARTIAL = ".partial"
_MANIFEST = "manifest.json"
_DIGEST = "manifest.sha256"
_MODE = 0o600


class Writer:
    """Writes an archive beside its place, and puts it there once it is whole. It is locked as long as it is written.

    Args:
        path: Where to. Nothing may be there.

    Raises:
        BackupError: there is something, somebody else is writing it, or it can't be written.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise BackupError("FILE_EXISTS", f"{path} is there already: give another name, or move it away")
        self._path = path
        self._partial = path.with_name(path.name + _PARTIAL)
        try:
            self._file = os.fdopen(_locked(self._partial), "wb")
        except BlockingIOError as error:
            raise BackupError("BACKUP_RUNS", f"another backup to {path} runs: wait for it, or name another") from error
        except OSError as error:
            raise _unwritable(path, error) from error
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115  # closed by us
        self._whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Of a disk that is full, closing tells again what a write has told.
        with contextlib.suppress(OSError):
            self._file.close()
        if not self._whole:
            self._partial.unlink(missing_ok=True)

    def part(self, stream: str, number: int, data: bytes) -> Part:
        """Write a piece of a stream.

        Raises:
            BackupError: the disk does not take it.
        """
        self._add(_name(stream, number), data)
        return Part(size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def finish(self, told: Manifest) -> None:
        """Write the manifest, and put the archive in its place.

        Raises:
            BackupError: the disk does not take it.
        """
        data = told.model_dump_json(indent=1).encode()
        self._add(_MANIFEST, data)
        self._add(_DIGEST, hashlib.sha256(data).hexdigest().encode())
        try:
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._partial.rename(self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._whole = True

    def _add(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), _MODE
        try:
            self._tar.addfile(entry, io.BytesIO(data))
        except OSError as error:
            raise _unwritable(self._path, error) from error


def _locked(path: Path) -> int:
    """The file as a descriptor, empty and ours; what another left there who was killed is dropped.

    Raises:
        BlockingIOError: somebody writes it, or has just put it in its place.
    """
    # Prompts and hashes of keys are for nobody else.
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, _MODE)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _check_still(number, path)
        os.fchmod(number, _MODE)
        os.ftruncate(number, 0)
    except BaseException:
        os.close(number)
        raise
    return number


def _check_still(number: int, path: Path) -> None:
    """That this file is still here: whoever had it locked may have put it in its place since it was opened."""
    if not path.exists() or not os.path.samestat(os.fstat(number), path.stat()):
        raise BlockingIOError(f"{path} has gone")


class Reader:
    """Reads an archive.

    Args:
        path: Where it is.

    Attributes:
        manifest: What it says of itself.

    Raises:
        BackupError: it can't be read, or is no whole backup.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._tar = tarfile.open(path, mode="r:")  # noqa: SIM115  # closed by us
        except (OSError, tarfile.TarError) as error:
            raise BackupError("BACKUP_UNREADABLE", f"{path} can't be read as a backup: {error}") from error
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._tar.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def verify(self) -> None:
        """Read all of it, and compare with what was written.

        Raises:
            BackupError: something is missing or differs.
        """
        for stream in self.manifest.streams:
            for _ in self.parts(stream):
                pass

    def parts(self, stream: StreamBackup) -> Iterator[bytes]:
        """The pieces of a stream, in order.

        Raises:
            BackupError: something is missing or differs.
        """
        for number, part in enumerate(stream.parts):
            data = self._read(_name(stream.name, number))
            if len(data) != part.size or hashlib.sha256(data).hexdigest() != part.sha256:
                raise BackupError(
                    "BACKUP_DAMAGED",
                    f"{self._path} is damaged: piece {number} of {stream.name} is not what was written",
                )
            yield data

    def _read_manifest(self) -> Manifest:
        data = self._read(_MANIFEST)
        if hashlib.sha256(data).hexdigest().encode() != self._read(_DIGEST):
            raise BackupError("BACKUP_DAMAGED", f"{self._path} is damaged: its manifest is not what was written")
        return manifest.parse(data)

    def _read(self, name: str) -> bytes:
        try:
            with contextlib.closing(self._tar.extractfile(name) or io.BytesIO()) as file:
                return file.read()
        except (KeyError, OSError, tarfile.TarError) as error:
            raise BackupError(
                "BACKUP_INCOMPLETE", f"{self._path} is no whole backup: {name} can't be read from it ({error})"
            ) from error


def _name(stream: str, number: int) -> str:
    return f"{stream}/{number:06}"


def _unwritable(path: Path, error: OSError) -> BackupError:
    return BackupError("FILE_UNWRITABLE", f"{path} can't be written: {error.strerror or error}")
