"""One seed, from its scenario to its history."""

from __future__ import annotations

import asyncio
import gc
import logging

from comfymesh.testkit.history import Event
from comfymesh.testkit.simulation.chance import Chance, virtual
from comfymesh.testkit.simulation.lives import adopt
from comfymesh.testkit.simulation.loop import VirtualLoop
from comfymesh.testkit.simulation.scenario import Scenario, scenario
from comfymesh.testkit.simulation.world import World


def simulate(seed: int) -> list[Event]:
    """The history of a seed."""
    return live_through(scenario(seed))


def live_through(given: Scenario) -> list[Event]:
    """The history of a scenario."""
    loop = VirtualLoop(adopt)
    collecting = gc.isenabled()
    gc.disable()  # What it finalizes would run whenever it pleases.
    try:
        with virtual(loop, Chance(given.seed)), asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(_live_through(given))
    finally:
        if collecting:
            gc.enable()


async def _live_through(given: Scenario) -> list[Event]:
    world = World(given)
    with world.edges.in_place():
        return await world.run()


def quiet() -> None:
    """Let the services say nothing below errors: with thousands of runs, nobody reads it."""
    logging.getLogger("comfymesh").setLevel(logging.ERROR)
