"""What pydantic finds wrong, in words for people."""

from __future__ import annotations

from pydantic_core import ErrorDetails

_OF_OUR_OWN = "Value error, "
"""What pydantic puts before the message of a ValueError, which is ours and needs nothing before it."""


def said(problem: ErrorDetails) -> str:
    """What is wrong, in words."""
    return problem["msg"].removeprefix(_OF_OUR_OWN)
