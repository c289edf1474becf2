"""Which bytes a caller wants. Pure."""

from __future__ import annotations

from comfymesh.api.errors import Violation, invalid
from comfymesh.artifacts.store import Range


def checked(size_bytes: int, offset_bytes: int, length_bytes: int) -> Range:
    """So many bytes from an offset, as many as there are; all that follow where the length is 0.

    Raises:
        RefusedError: the offset is beyond the end, or one of the numbers is negative.
    """
    wrong = []
    if not 0 <= offset_bytes <= size_bytes:
        wrong.append(Violation("offset_bytes", f"{offset_bytes} is not between 0 and {size_bytes}"))
    if length_bytes < 0:
        wrong.append(Violation("length_bytes", f"{length_bytes} is negative; leave it out for all"))
    if wrong:
        raise invalid(wrong)
    return Range.within(size_bytes, offset_bytes, length_bytes)
