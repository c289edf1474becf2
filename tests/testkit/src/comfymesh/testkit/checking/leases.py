"""P2: one scheduler acts at a time. Two can do no harm, and still none takes the lease from another that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from comfymesh.testkit.checking.views import View
from comfymesh.testkit.checking.violations import Promise, Violation


def held(view: View) -> Iterator[Violation]:
    """P2: whoever takes the lease from another does so once that has not renewed it for its TTL, or gave it up."""
    for before, lease in pairwise(view.leases):
        since = lease.at - before.at
        if before.holder and lease.holder not in {before.holder, ""} and since < before.ttl:
            what = f"{lease.holder} took the lease of {before.holder} {since:.2f} s after it was renewed"
            yield Violation(Promise.P2, "", f"{what}, and it holds {before.ttl:g} s")
