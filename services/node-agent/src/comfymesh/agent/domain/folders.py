"""Names of the folders, in those of an instance, in which ComfyMesh keeps files.

All callers' graphs see the files of an instance, and ComfyUI's loaders open any path that they are told. So no folder
has a name that can be found out without the node's secret. ComfyUI itself knows the names: it offers folders of inputs
as options, and writes paths into errors and its output. Nothing of that leaves the node with a name in it.

A loader that takes all that is in a folder, and in the folders there (ComfyUI's nodes_dataset.py), does not get from
`ROOT` down to files either: they lie one folder deeper.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from comfymesh.tasks.record import Key

ROOT = "comfymesh"
"""Holds everything that is ComfyMesh's."""

INPUTS = f"{ROOT}/inputs"
"""Holds all that tasks read."""

_DIGITS = 32

WARM_UP = f"{ROOT}/outputs/{0:0{_DIGITS}x}"
"""Holds what an instance writes before it takes tasks."""

_HIDDEN = f"{ROOT}/..."
_NAMES = re.compile(rf"{ROOT}[\\/]+(?:inputs|outputs)[\\/]+[0-9a-f]{{1,{_DIGITS}}}", re.IGNORECASE)
_PLAIN = re.compile(rf"{INPUTS}|{ROOT}(?:/(?:inputs|outputs)/[0-9a-f]{{{_DIGITS}}})?")


class Folders:
    """The folders of a node. Each path begins with `ROOT`.

    Args:
        secret: The node's own. Another one makes other folders; what is in the old ones is not found any more.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of_input(self, tenant: str, sha256: str, name: str) -> str:
        """The folder of one file that a tenant's tasks read: nobody else's, though it had the same content."""
        return f"{INPUTS}/{self._name('input', tenant, sha256, name)}"

    def of_attempt(self, key: Key, attempt: int) -> str:
        """The folder of what an attempt writes."""
        return f"{ROOT}/outputs/{self._name('attempt', key.tenant, key.task_id, str(attempt))}"

    def _name(self, *parts: str) -> str:
        # No part has a null byte: tenants, digests and tasks are tokens, and names of files are made plain.
        return hmac.new(self._secret, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def is_ours(folder: str) -> bool:
    """Whether a folder has a name as `Folders` makes it, or is `ROOT` or `INPUTS`."""
    return _PLAIN.fullmatch(folder) is not None


def hide(text: str) -> str:
    """A text without names of our folders. To be called before it is cut: half a name would not be found."""
    return _NAMES.sub(_HIDDEN, text)


def without_ours(value: object) -> object:
    """A JSON value, such as a catalog of node classes, without our folders in its lists of options."""
    match value:
        case dict():
            return {key: without_ours(inner) for key, inner in value.items()}
        case list():
            return [without_ours(inner) for inner in value if not _is_path_of_ours(inner)]
        case _:
            return value


def _is_path_of_ours(value: object) -> bool:
    return isinstance(value, str) and (value == ROOT or value.startswith(f"{ROOT}/"))
