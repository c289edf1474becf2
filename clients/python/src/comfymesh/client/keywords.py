"""Options by keyword that come as a dictionary: the language does not look at their names, so this does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def require_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that mean nothing, as a function refuses them.

    Raises:
        TypeError: There are any; what there is instead is named.
    """
    there = sorted(known)
    if wrong := sorted(set(given).difference(there)):
        raise TypeError(f"there is no option {', '.join(map(repr, wrong))}; there are {', '.join(there)}")
