"""What waits for pools that could start more instances: which node is told of how much. Pure.

A task that pools of several nodes could run must not start an instance at each. So what waits is dealt out in a fixed
order, as much to each pool as its instances do in `_FILL_SECONDS`, and the same is told again while the same waits.
Pools that are starting something come first, then those that run something already: their nodes have the image, and
files in their caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from comfymesh.scheduler.domain.fleet import InstanceState
from comfymesh.scheduler.domain.lanes import Group
from comfymesh.scheduler.domain.seat import Seat

_FILL_SECONDS = 120.0
_SETTLE_SECONDS = 1.0
"""A task that has waited for less may be about to be offered."""
_START_SECONDS = 300.0
"""Starts that leave tasks waiting for longer are not counted on: others are told as well. A pull may hang for hours."""
_MOST_GROUPS = 200
"""Groups that one look deals out to each kind of pool, those known for longest: many for one hide none for another."""

Fits = Callable[[Group, Seat], bool]
"""Whether the tasks of a group can run at an instance, and want to."""


@dataclass(slots=True)
class Demand:
    """What waits for a pool of a node.

    Attributes:
        count: How many tasks.
        seconds: How long they are expected to run, one after the other.
        oldest: For how many seconds the first of them has waited.
        served: Whether instances that run could take them all, in time.
    """

    count: int = 0
    seconds: float = 0.0
    oldest: float = 0.0
    served: bool = True


@dataclass(slots=True)
class _Pool:
    """A pool of a node: an instance that stands for all, and how many could take more than what is under way."""

    node: str
    name: str
    like: Seat
    starting: int = 0
    stopped: int = 0
    running: int = 0

    @property
    def rank(self) -> tuple[bool, bool, str]:
        return (not self.starting, not self.running, self.node)

    def coming(self, waited: float) -> int:
        """How many instances may come in time for what has waited for so many seconds."""
        return self.stopped + (self.starting if waited < _START_SECONDS else 0)


Told = dict[str, dict[str, Demand]]
"""Node to pool to demand. Every node that has a pool is in it."""


def demand(groups: Iterable[Group], seats: Iterable[Seat], fits: Fits, now: float) -> Told:
    """What each node with pools is to be told at `now`, seconds since the epoch."""
    pools, serving = _look(seats)
    told: Told = {node: {} for node, _ in pools}
    able = sorted((pool for pool in pools.values() if pool.starting or pool.stopped), key=lambda pool: pool.rank)
    if not able:
        return told
    running = _one_of_each_kind(serving)
    kinds = _one_of_each_kind(pool.like for pool in able)
    for group in _wanting((group for group in groups if group.lanes), kinds, fits):
        waiting = _waits(group, now)
        if waiting.oldest >= _SETTLE_SECONDS:
            waiting.served = any(fits(group, seat) for seat in running)
            _deal(waiting, [pool for pool in able if fits(group, pool.like)], told)
    return told


def _look(seats: Iterable[Seat]) -> tuple[dict[tuple[str, str], _Pool], list[Seat]]:
    """The pools, and the instances that serve."""
    pools: dict[tuple[str, str], _Pool] = {}
    serving = []
    for seat in seats:
        if seat.takes_work:
            serving.append(seat)
        if seat.instance is None or seat.report is None or not seat.report.open or not seat.instance.pool:
            continue
        node, name = seat.place.node, seat.instance.pool
        pool = pools.setdefault((node, name), _Pool(node, name, seat))
        if seat.instance.catalog:
            pool.like = seat
        pool.stopped += seat.instance.state is InstanceState.STOPPED and seat.allowed > 0 < seat.instance.slots
        pool.starting += seat.instance.state is InstanceState.STARTING
        pool.running += seat.instance.serving
    return pools, serving


def _one_of_each_kind(seats: Iterable[Seat]) -> list[Seat]:
    return list({seat.kind: seat for seat in seats}.values())


def _wanting(groups: Iterable[Group], kinds: Iterable[Seat], fits: Fits) -> Iterator[Group]:
    """Groups that some of these could run, until there are enough for each."""
    left = dict.fromkeys(kinds, _MOST_GROUPS)
    for group in groups:
        able = [seat for seat in left if fits(group, seat)]
        left |= {seat: left[seat] - 1 for seat in able}
        if able:
            yield group
            left = {seat: count for seat, count in left.items() if count}
        if not left:
            return


def _waits(group: Group, now: float) -> Demand:
    """What waits of a group."""
    lanes = group.lanes.values()
    heads = [head.created for lane in lanes if (head := lane.head()) is not None]
    return Demand(sum(lane.count for lane in lanes), sum(lane.runs for lane in lanes), now - min(heads, default=now))


def _deal(waiting: Demand, pools: list[_Pool], told: Told) -> None:
    """Deal out what waits among pools that could take it, in their order."""
    left, each = waiting.count, waiting.seconds / max(waiting.count, 1)
    pools = [pool for pool in pools if pool.coming(waiting.oldest)] or pools
    for pool in pools:
        mine = told[pool.node].get(pool.name, Demand())
        room = max(_FILL_SECONDS * pool.coming(waiting.oldest) - mine.seconds, 0.0)
        # A task that is longer than all that has to be told to somebody, and so has what is left in the end.
        fair = max(int(room / max(each, 1e-3)), 0 if mine.count else 1)
        part = left if pool is pools[-1] else min(left, fair)
        if not part:
            continue
        told[pool.node][pool.name] = mine
        mine.count += part
        mine.seconds += part * each
        mine.oldest = max(mine.oldest, waiting.oldest)
        mine.served = mine.served and waiting.served
        left -= part
        if not left:
            return
