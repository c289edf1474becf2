"""How many values a JSON text holds, found out before any is made: `{}` is two bytes, and 64 of them in memory."""

from __future__ import annotations

import re

# The closing quote may be missing, so that no text is looked through twice.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BEFORE_VALUES = "[{,"


def holds_more_than(count: int, text: str) -> bool:
    """Whether a text may hold more values than that; keys of objects are not counted. Too few are never told.

    Args:
        count: How many are too many, at least.
        text: JSON, or anything else.
    """
    return _at_most(text) > count and _at_most(_STRING.sub("", text)) > count


def _at_most(text: str) -> int:
    """One of them stands before each value but the first, and none before two."""
    return 1 + sum(text.count(character) for character in _BEFORE_VALUES)
