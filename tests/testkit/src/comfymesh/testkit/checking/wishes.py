"""P4: an api shows of what is wanted of a node nothing older than it has told before, or anybody before it began."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.testkit.checking.views import View
from comfymesh.testkit.checking.violations import Promise, Violation
from comfymesh.testkit.history import Shown


def shown(view: View) -> Iterator[Violation]:
    """P4: see the module."""
    for one in view.shown:
        known = max(other.least for other in view.shown if other is one or _is_known(other, one))
        if one.most < known:
            what = f"{one.api} showed wish {one.most} for {one.node} when wish {known} was known there already"
            yield Violation(Promise.P4, "", what)


def _is_known(other: Shown, to: Shown) -> bool:
    """Whether the api that showed one had shown the other before, or had it at hand to read at its start."""
    return other.node == to.node and other.at <= (to.asked if other.api == to.api else to.began)
