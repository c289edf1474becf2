"""The secret of a node, from which the names of its folders are made."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path
from tempfile import mkstemp

logger = logging.getLogger(__name__)

_NAME = "folders.secret"
_BYTES = 32


def node_secret(state_directory: Path) -> bytes:
    """The secret that earlier lives of this agent have kept, or a new one, kept for later lives.

    Where it can't be kept, this life has one of its own: files of the lives before are then cleaned up later, or not.
    """
    path = state_directory / _NAME
    try:
        return _kept(path) or _made(path)
    except OSError as error:
        logger.warning("%s can't be kept, a new one is made at each start: %s", path, error)
        return secrets.token_bytes(_BYTES)


def _kept(path: Path) -> bytes | None:
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        return None
    return secret if len(secret) == _BYTES else None


def _made(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_bytes(_BYTES)
    descriptor, draft = mkstemp(dir=path.parent, prefix=_NAME)  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(descriptor)
        Path(draft).replace(path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
    return secret
