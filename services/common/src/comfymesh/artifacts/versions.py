"""What a store keeps of a blob, so named that it can be removed without touching what is put anew."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A blob as it was put.

    Attributes:
        sha256: Which blob.
        place: What the store calls this putting; empty where it keeps only the last.
        until: How far the store had come when it was seen, where it counts: what is behind that was put since.
        superseded: Whether a later one of the same blob is there, so that nobody needs this one.
    """

    sha256: str
    place: str = ""
    until: int = 0
    superseded: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        """What stays the same of it, whenever it is seen."""
        return self.sha256, self.place
