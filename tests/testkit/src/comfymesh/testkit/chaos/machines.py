"""A cluster on trial: machines are lost one after the other, in each way, and then everything is restarted in turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfymesh.testkit.chaos.cluster import IN_TURN, MACHINES, ClusterMesh, cluster_mesh
from comfymesh.testkit.chaos.proxy import Line
from comfymesh.testkit.chaos.run import Chaos, Trial, try_out
from comfymesh.testkit.chaos.users import Users
from comfymesh.testkit.plans import work
from comfymesh.testkit.waiting import until

_TASKS_PER_SECOND = 1.0
_USERS = 2


@dataclass(frozen=True, slots=True)
class Loss:
    """A machine that is lost for so many seconds: its power, or its network, cut or dead."""

    machine: str
    what: str
    lasts: float


def losses(rng: random.Random, seconds: float) -> list[Loss]:
    """Each machine in each way, in any order, again and again, until so many seconds have been lost."""
    made, lost = list[Loss](), 0.0
    while lost < seconds:
        everything = [(machine, what) for machine in MACHINES for what in ("power", "cut", "dead")]
        rng.shuffle(everything)
        for machine, what in everything:
            if lost < seconds:
                made.append(Loss(machine, what, rng.uniform(4, 15)))
                lost += made[-1].lasts
    return made


@dataclass(frozen=True, slots=True)
class ClusterChaos:
    """What came of it: the history, and what users of the SDK did and met while everything was restarted."""

    chaos: Chaos
    users: Users


async def lose_each(
    seed: int, lost: Sequence[Loss], directory: Path, configuration: Path, count: int = _USERS
) -> ClusterChaos:
    """Put a cluster under load, lose those machines one after the other, and restart everything under `count` users."""
    async with cluster_mesh(directory, configuration) as mesh:
        users = Users(",".join(mesh.targets), count)

        async def course(trial: Trial) -> asyncio.Future[Any]:
            working = [asyncio.create_task(_load(trial, sum(loss.lasts for loss in lost), "c"))]
            for loss in lost:
                await _lose(mesh, loss, trial)
            working.append(asyncio.create_task(_load(trial, 5.0, "r")))
            await _restart_all(mesh, users, trial)
            return asyncio.gather(*working)

        chaos = await try_out(mesh, directory, "a cluster", seed, course)
    return ClusterChaos(chaos, users)


async def _load(trial: Trial, seconds: float, prefix: str) -> None:
    await trial.clients.run(work(trial.chance(), round(seconds * _TASKS_PER_SECOND) + 1, seconds, prefix))


async def _lose(mesh: ClusterMesh, loss: Loss, trial: Trial) -> None:
    """Lose a machine and have it back; the next one is lost when all are well, as three servers bear one loss."""
    trial.fault(f"loss of {loss.what}", f"{loss.machine} for {loss.lasts:.1f} s")
    if loss.what == "power":
        await mesh.lose_power(loss.machine)
        await asyncio.sleep(loss.lasts)
        await mesh.power_is_back(loss.machine)
    else:
        await mesh.network(loss.machine, Line.CUT if loss.what == "cut" else Line.DEAD)
        if loss.what == "cut":
            await until(lambda: mesh.is_alone(loss.machine), f"{loss.machine} without the others")
        await asyncio.sleep(loss.lasts)
        await mesh.network(loss.machine, Line.WELL)
    trial.fault(f"loss of {loss.what} is over", loss.machine)
    await mesh.healthy()


async def _restart_all(mesh: ClusterMesh, users: Users, trial: Trial) -> None:
    over = asyncio.Event()
    using = asyncio.create_task(users.run(over))
    for name in IN_TURN:
        trial.fault("restart", name)
        await mesh.restart(name)
    over.set()
    await using
