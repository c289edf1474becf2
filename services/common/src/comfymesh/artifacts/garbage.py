"""Which blobs nobody needs any more. Pure; docs/adr/0037 has the reasons.

Nobody can look at every place that names a blob in the same moment, and between the moment at which a blob is found and
the one at which it is named there is always some time: an attempt stores its outputs before its end is in the log. So a
blob is removed only when it was seen without a name twice, with more time between than anybody takes to name what they
found; and what is removed then is what was there the first time, not what was put since.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfymesh.artifacts.versions import Version
from comfymesh.wire.v1 import task_record_pb2


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of the blobs of one owner.

    Attributes:
        began: When somebody began to look, in seconds.
        idle: The versions that nothing names, or that a later one stands for.
        oldest_attempt: When the longest of the attempts under way began, in seconds; infinity without any. What it has
            stored it may name at its end.
    """

    began: float
    idle: frozenset[Version]
    oldest_attempt: float = float("inf")


_MOST_APART = 24 * 3600.0
"""Whoever looks more rarely may miss a name that came and went, which lives a day at least. Seconds."""


class Suspects:
    """Remembers what was seen without a name, and since when. Forgetting it all does no harm but to begin anew.

    Which it does by itself when it has not looked for long: somebody else may have looked after the blobs meanwhile.

    Args:
        grace: A blob is removed so long after it was first seen without a name, if it is not named meanwhile. In
            seconds; longer than it takes anybody to name what they found, and shorter than the shortest life of a name.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._since: dict[tuple[str, str], tuple[float, Version]] = {}
        self._looked = float("-inf")

    def __len__(self) -> int:
        return len(self._since)

    def look(self, look: Look) -> list[Version]:
        """Take in what was seen; answers what can be removed, each as it was when it was first suspected."""
        before, self._since = self._since, {}
        if look.began - self._looked > _MOST_APART:
            before = {}
        self._looked = look.began
        ripe = min(look.began - self._grace, look.oldest_attempt - self._grace)
        removable = []
        for version in look.idle:
            since, first = before.get(version.identity, (look.began, version))
            if since <= ripe:
                removable.append(first)
            else:
                self._since[version.identity] = (since, first)
        return sorted(removable)


def blobs_of(record: task_record_pb2.TaskRecord) -> Iterable[str]:
    """Every blob that a record names, by its SHA-256 in hex: what its graph reads, and what it has made.

    What the graph reads is all there only where `spec.blobs_known`.
    """
    yield from (digest.hex() for digest in record.spec.blobs)
    yield from (artifact.sha256 for artifact in record.task.artifacts)
