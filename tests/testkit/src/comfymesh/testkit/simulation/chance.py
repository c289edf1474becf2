"""Time and chance of a simulation: everything that the code under test would take from the machine."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import log
from unittest.mock import patch

from comfymesh.testkit.simulation import lives
from comfymesh.testkit.simulation.loop import VirtualLoop

EPOCH = 1_700_000_000.0
"""Where the clocks of a simulation begin, seconds since the epoch."""

_Random = random.Random


class Chance:
    """Streams of random numbers, each of its own, all from one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def stream(self, name: str) -> random.Random:
        """The stream of that name."""
        return _Random(f"{self._seed}/{name}")


def exponential(rng: random.Random) -> float:
    """What `rng.expovariate(1.0)` answers. Most of what is drawn is the length of a way."""
    return -log(1.0 - rng.random())


@contextmanager
def virtual(loop: VirtualLoop, chance: Chance) -> Iterator[None]:
    """Let clocks and random numbers of this process be those of the simulation."""
    drawn = chance.stream("drawn")

    class Seeded(_Random):
        def __init__(self, seed: object = None) -> None:
            super().__init__(drawn.getrandbits(64) if seed is None else seed)  # type: ignore[arg-type]  # as the base's

    state = random.getstate()
    random.seed(drawn.getrandbits(64))
    try:
        with (
            patch.object(time, "time", lambda: EPOCH + loop.time() + lives.ahead()),
            patch.object(time, "monotonic", loop.time),
            patch.object(time, "perf_counter", loop.time),
            patch.object(os, "urandom", drawn.randbytes),
            patch.object(random, "Random", Seeded),
            patch("asyncio.tasks._all_tasks.add", loop.tasks.append),
        ):
            yield
    finally:
        random.setstate(state)
