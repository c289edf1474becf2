"""What a backup says of itself, as data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from comfymesh.backup.errors import BackupError

VERSION = 1
"""Of the format. It is raised when an older version could not restore what a newer one writes."""


class Part(BaseModel):
    """A piece of a stream's snapshot: its size in bytes, and its SHA-256 in hexadecimal."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class StreamBackup(BaseModel):
    """One stream.

    Attributes:
        name: Its name.
        config: Its configuration, as the server has it.
        state: How the server describes what it held.
        parts: The pieces of its snapshot, in order.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    config: dict[str, Any]
    state: dict[str, Any]
    parts: tuple[Part, ...]

    @property
    def last_sequence(self) -> int:
        """Sequence of the last message."""
        return int(self.state["last_seq"])

    @property
    def messages(self) -> int:
        """How many messages it held."""
        return int(self.state["messages"])

    @property
    def size(self) -> int:
        """Bytes in the archive."""
        return sum(part.size for part in self.parts)


class Manifest(BaseModel):
    """The whole.

    Attributes:
        version: Of the format.
        id: Of this backup.
        began: When it was begun, UTC: what was stored later may be missing.
        ended: When it was whole.
        server: Version of the NATS server.
        artifacts: Where outputs were kept; the archive has them only for `nats:`.
        streams: In the order in which they were taken.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["comfymesh-backup"] = "comfymesh-backup"
    version: int = Field(VERSION, ge=1)
    id: str
    began: str
    ended: str
    server: str
    artifacts: str
    streams: tuple[StreamBackup, ...]


def parse(data: bytes) -> Manifest:
    """The manifest in `data`.

    Raises:
        BackupError: it is none, or of a later version.
    """
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BackupError("BACKUP_DAMAGED", f"its manifest can't be read: {error.error_count()} errors") from None
    if manifest.version > VERSION:
        raise BackupError(
            "BACKUP_TOO_NEW",
            f"it is of format {manifest.version}, and this version reads up to {VERSION}: restore it with the version"
            " that made it",
        )
    return manifest
