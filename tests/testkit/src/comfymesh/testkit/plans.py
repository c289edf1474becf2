"""What clients do to a mesh, as values made from chance: tasks, groups of them, watchers of one and of many. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Watch:
    """A watcher: when it comes, and after how many messages it breaks each of its streams off (0: never)."""

    after: float
    patience: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What a client does with one task. Times in seconds.

    Attributes:
        at: When it is created.
        content: Names its content.
        request_id: Of its creation.
        runs: Whether it is created and watched in one call.
        repeats: After how long the same creation is sent again, and again.
        reuses: Whether its request ID is then sent with other content.
        watches: Its watchers.
        cancel: After how long it is cancelled; None for never.
        looks: After how long each GetTask follows the one before.
        letters: What is done about it at once should it fail: requeue, drop.
    """

    at: float
    content: str
    request_id: str
    runs: bool = False
    repeats: tuple[float, ...] = ()
    reuses: bool = False
    watches: tuple[Watch, ...] = ()
    cancel: float | None = None
    looks: tuple[float, ...] = ()
    letters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a client does with a group of tasks. Times in seconds.

    Attributes:
        at: When they are created, in one call.
        group: The group's id.
        items: Content and request ID of each.
        repeats: After how long the same batch is sent again, and again.
        patience: After how many messages the group's follower breaks each of its streams off (0: never).
        cancel: After how long the group is cancelled; None for never.
    """

    at: float
    group: str
    items: tuple[tuple[str, str], ...]
    repeats: tuple[float, ...] = ()
    patience: int = 0
    cancel: float | None = None


@dataclass(frozen=True, slots=True)
class Follower:
    """Follows all tasks from `at` on, until all that its fellows have created have ended; `patience` as a watcher's."""

    at: float
    patience: int = 0


Work = Job | Sweep | Follower


def work(rng: random.Random, count: int, spread: float, prefix: str = "c") -> list[Work]:
    """So many jobs within `spread` seconds, and now and then a sweep, or somebody who follows everything."""
    sweeps = [_sweep(rng, f"{prefix}g{number}", spread) for number in range(rng.choice((0, 0, 1, 2)))]
    followers = [Follower(rng.uniform(0, spread), rng.choice((0, 3, 10))) for _ in range(rng.choice((0, 0, 1)))]
    return [*jobs(rng, count, spread, prefix), *sweeps, *followers]


def _sweep(rng: random.Random, name: str, spread: float) -> Sweep:
    return Sweep(
        at=rng.uniform(0, spread),
        group=name,
        items=tuple((f"{name}-{number}", _request_id(rng)) for number in range(rng.randint(1, 4))),
        repeats=tuple(rng.uniform(0, 3) for _ in range(rng.choice((0, 0, 1)))),
        patience=rng.choice((0, 2, 5)),
        cancel=rng.expovariate(0.5) if rng.random() < 0.3 else None,
    )


def _request_id(rng: random.Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def jobs(rng: random.Random, count: int, spread: float, prefix: str = "c") -> list[Job]:
    """So many jobs within `spread` seconds; names of their contents begin with `prefix`."""
    return [_job(rng, f"{prefix}{number}", spread) for number in range(count)]


def _job(rng: random.Random, content: str, spread: float) -> Job:
    return Job(
        at=rng.uniform(0, spread),
        content=content,
        request_id=_request_id(rng),
        runs=rng.random() < 0.3,
        repeats=tuple(rng.uniform(0, 3) for _ in range(rng.choice((0, 0, 1, 2)))),
        reuses=rng.random() < 0.1,
        watches=tuple(Watch(rng.expovariate(1), rng.choice((0, 0, 1, 2, 5))) for _ in range(rng.choice((0, 1, 1, 2)))),
        cancel=rng.expovariate(0.5) if rng.random() < 0.2 else None,
        looks=tuple(rng.expovariate(1) for _ in range(rng.choice((0, 0, 2)))),
        letters=rng.choice((("requeue",), ("requeue", "requeue"), ("drop",), ("requeue", "drop"))),
    )
