"""Who runs on which GPU, and who may beside them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from comfymesh.agent.domain.pool_values import Member, Phase, Pool


class Gpus:
    """Who runs on which GPU, and who may beside them."""

    def __init__(self, pools: Sequence[Pool], members: Iterable[Member]) -> None:
        self._shared = {pool.name for pool in pools if pool.shared}
        self._running: dict[str, list[Member]] = {}
        for member in members:
            if member.phase is not Phase.STOPPED:
                self.occupy(member)

    def occupy(self, member: Member) -> None:
        """It runs, or is about to."""
        if member.gpu:
            self._running.setdefault(member.gpu, []).append(member)

    def running(self, member: Member) -> int:
        """How many run where this one would."""
        return len(self._running.get(member.gpu, ()))

    def in_the_way(self, member: Member) -> list[Member]:
        """Those of other pools that keep this one from running on its GPU."""
        others = [other for other in self._running.get(member.gpu, ()) if other.pool != member.pool]
        return [other for other in others if not {other.pool, member.pool} <= self._shared]
