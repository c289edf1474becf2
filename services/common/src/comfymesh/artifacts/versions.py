"""What a store keeps of a blob, so named that it can be removed without touching what is put anew."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A blob as it was put once.

    Attributes:
        sha256: Which blob.
        mark: What tells this putting from later ones, in the store's own terms.
        superseded: Whether a later one of the same blob is there, so that nobody needs this one.
    """

    sha256: str
    mark: str
    superseded: bool = False
