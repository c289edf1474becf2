"""Patterns of names that operators write: `*` stands for any text, `?` for any character. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache


def fits(patterns: Iterable[str], name: str) -> bool:
    """Whether a name fits any of the patterns."""
    return _compiled(tuple(patterns)).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # A bracket means itself: lists of characters are nothing that names need.
    return re.compile("|".join(translate(pattern.replace("[", "[[]")) for pattern in patterns) or r"(?!)")
