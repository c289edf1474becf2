"""P5: what a task says it made can be had."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.testkit.checking.views import View
from comfymesh.testkit.checking.violations import Promise, Violation


def kept(view: View) -> Iterator[Violation]:
    """P5: every artifact in the log was read once, whole and with the right digest."""
    for made in view.made:
        reads = view.read.get(made.artifact, [])
        good = [read for read in reads if (read.size_bytes, read.sha256) == (made.size_bytes, made.sha256)]
        if any(not read.error for read in good):
            continue
        seen = reads[-1] if reads else None
        what = "was never read" if seen is None else seen.error or f"has {seen.size_bytes} bytes, {seen.sha256[:12]}"
        yield Violation(Promise.P5, made.task, f"artifact {made.artifact} ({made.size_bytes} bytes) {what}")
