"""P2 for what is charged: each attempt that ended is in the ledger, once."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.testkit.checking.views import View
from comfymesh.testkit.checking.violations import Promise, Violation

_ROUNDING_SECONDS = 1e-5
"""The ledger counts microseconds."""


def booked(view: View) -> Iterator[Violation]:
    """P2: the ledger has come to what the attempts in the log have used."""
    used = [record.used for records in view.log.values() for record in records if record.used is not None]
    for told in view.booked:
        if told.attempts != len(used):
            what = f"the ledger has {told.attempts} attempts, and the log {len(used)} that ended"
            yield Violation(Promise.P2, "", what)
        elif abs(told.seconds - sum(used)) > _ROUNDING_SECONDS * max(1, len(used)):
            what = f"the ledger has {told.seconds:.6f} s, and attempts have used {sum(used):.6f} s"
            yield Violation(Promise.P2, "", what)
