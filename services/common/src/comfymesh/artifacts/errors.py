"""What can go wrong with a store."""

from __future__ import annotations


class StoreUnavailableError(Exception):
    """The artifact store can't be reached or refused. Trying again may help."""


class StoreFullError(StoreUnavailableError):
    """The artifact store has no room. Trying again helps once somebody has made some."""


class BlobMissingError(Exception):
    """The artifact store does not have the bytes that it should have."""

    def __init__(self, owner: str, sha256: str) -> None:
        super().__init__(f"the artifact store lacks {sha256} of {owner}")
