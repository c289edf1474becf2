"""How many values a JSON text holds, found out before any is made: `{}` is two bytes, and 64 of them in memory."""

from __future__ import annotations

import re
from functools import lru_cache

# The closing quote may be missing, so that no text is looked through twice.
_STRING = r'"(?:[^"\\]++|\\.)*+"?'
_BEFORE_VALUES = "{,["
"""One of them stands before each value but the first, and none before two."""


def holds_more_than(count: int, text: str) -> bool:
    """Whether a text may hold more values than that; keys of objects are not counted. Too few are never told.

    Args:
        count: How many are too many, at least.
        text: JSON, or anything else.
    """
    if sum(text.count(character) for character in _BEFORE_VALUES) < count:
        return False
    return _so_many(count).match(text) is not None


@lru_cache
def _so_many(count: int) -> re.Pattern[str]:
    """Matches a text as far as `count` of them stand outside of strings. Nothing of it is copied or looked at twice."""
    return re.compile(rf'(?:(?:[^"{_BEFORE_VALUES}]++|{_STRING})*+[{_BEFORE_VALUES}]){{{count}}}+', re.DOTALL)
