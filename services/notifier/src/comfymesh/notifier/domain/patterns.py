"""Regular expressions that can't be made to run for ever. The only module that knows RE2.

RE2 takes time linear in the text that it searches, whatever the pattern: neither a rule that is written badly nor an
error that is made for it can hold the notifier up.
"""

from __future__ import annotations

import re2

SEARCHED = 16 * 1024
"""Characters of an error that are searched. Errors come from ComfyUI and may be of any size."""

_LONGEST = 1024
_MEMORY_BYTES = 8 << 20


def checked(pattern: str) -> str:
    """The pattern, if it is one.

    Raises:
        ValueError: it is none of RE2, or too long.
    """
    if len(pattern) > _LONGEST:
        raise ValueError(f"has {len(pattern)} characters, at most {_LONGEST} are allowed")
    try:
        re2.compile(pattern, _options())
    except re2.error as error:
        raise ValueError(f"is no pattern of RE2, which has no backreferences or look-around: {_said(error)}") from error
    return pattern


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern occurs in the beginning of a text."""
    # RE2 reads UTF-8, in which there are no lone surrogates. Compiled patterns are kept by the library.
    searched = text[:SEARCHED].encode("utf-8", "replace").decode()
    return re2.compile(pattern, _options()).search(searched) is not None


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return options


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else error
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
