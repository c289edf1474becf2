"""How much later a picture arrives through the mesh than straight from the same ComfyUI."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks import graphs, ground
from benchmarks.direct import DirectClient
from benchmarks.figures import Quantiles, differences, rotated
from comfymesh.client import AsyncClient

_WARM_UP = 20

Way = Callable[[graphs.Graph], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Overhead:
    """Milliseconds from the request to the bytes in the client's hand.

    Attributes:
        direct: Straight from ComfyUI.
        mesh: Through the mesh.
        added: Mesh minus the direct one of the same round.
        null: A second direct one minus the first: what the measurement can't tell apart.
    """

    direct: Quantiles
    mesh: Quantiles
    added: Quantiles
    null: Quantiles

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [
            ("one task, direct: p50 / p95", _ms(self.direct)),
            ("one task, mesh: p50 / p95", _ms(self.mesh)),
            ("**added by the mesh: p50 / p95**", f"**{_ms(self.added, '+')}**"),
            ("null test, direct minus direct: p50 / p95", _ms(self.null, "+")),
        ]


async def measure(comfy: ground.ComfyUI, rounds: int) -> Overhead:
    """Run `rounds` rounds: one task direct, one through the mesh, one direct again, each round in another order."""
    async with (
        ground.mesh([comfy.url]) as mesh,
        AsyncClient(mesh.target) as client,
        DirectClient(comfy.url) as direct,
    ):
        ways: dict[str, Way] = {"direct": direct.run, "mesh": client.run, "again": direct.run}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(-_WARM_UP, rounds):
            for name in rotated(list(ways), number):
                took = await _timed(ways[name])
                if number >= 0:
                    times[name].append(took)
    return Overhead(
        direct=Quantiles.of(times["direct"]),
        mesh=Quantiles.of(times["mesh"]),
        added=Quantiles.of(differences(times["mesh"], times["direct"])),
        null=Quantiles.of(differences(times["again"], times["direct"])),
    )


async def _timed(way: Way) -> float:
    graph = graphs.picture()
    began = time.perf_counter()
    await way(graph)
    return ground.elapsed_ms(began)


def _ms(quantiles: Quantiles, sign: str = "") -> str:
    return f"{quantiles.p50:{sign}.1f} / {quantiles.p95:{sign}.1f} ms"
