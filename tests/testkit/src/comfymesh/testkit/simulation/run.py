"""One seed, from its scenario to its history."""

from __future__ import annotations

import asyncio
import gc
import logging

from comfymesh.testkit.history import Event
from comfymesh.testkit.simulation.chance import Chance, virtual
from comfymesh.testkit.simulation.lives import adopt
from comfymesh.testkit.simulation.loop import VirtualLoop, only
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
            return runner.run(_live_through(given, loop))
    finally:
        if collecting:
            gc.enable()


async def _live_through(given: Scenario, loop: VirtualLoop) -> list[Event]:
    world = World(given)
    try:
        with only(loop), world.edges.in_place():
            return await world.run()
    finally:
        await _end(loop)


async def _end(loop: VirtualLoop) -> None:
    """End what is still under way, as `asyncio.run` would do if it knew of it."""
    left = [task for task in loop.tasks if not task.done() and task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def quiet() -> None:
    """Let the services say nothing below errors: with thousands of runs, nobody reads it."""
    logging.getLogger("comfymesh").setLevel(logging.ERROR)
