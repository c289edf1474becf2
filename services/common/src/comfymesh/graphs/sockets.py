"""Which output may feed which input."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from comfymesh.graphs.catalog import COMBO

if TYPE_CHECKING:
    from comfymesh.graphs.graph import JsonValue

_ANYTHING = frozenset({"*", "COMFY_MATCHTYPE_V3"})
_DYNAMIC_PREFIX = "COMFY_"


@lru_cache(maxsize=4096)
def is_dynamic(socket_type: str) -> bool:
    """Tells whether the inputs behind this type are known only at submission; those are not checked."""
    return socket_type.startswith(_DYNAMIC_PREFIX) and socket_type not in _ANYTHING


def fits(produced: JsonValue, wanted: JsonValue) -> bool:
    """Tells whether an output of one type may feed an input of another.

    As ComfyUI decides: equal types fit, ``*`` fits everything, unions (``A,B``) fit when they share a member,
    and an output that is itself a list of options fits any COMBO.
    """
    if produced == wanted or (isinstance(produced, list) and wanted == COMBO):
        return True
    if not isinstance(produced, str) or not isinstance(wanted, str):
        return produced in _anything() or wanted in _anything()
    ours, theirs = _members(produced), _members(wanted)
    return bool(ours & theirs or (ours | theirs) & _ANYTHING)


def _anything() -> list[JsonValue]:
    return list(_ANYTHING)


def _members(socket_type: str) -> frozenset[str]:
    return frozenset(part.strip() for part in socket_type.split(","))
