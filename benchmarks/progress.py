"""How long progress takes from ComfyUI's event to the subscriber."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks import graphs, ground, proxy
from benchmarks.figures import Quantiles
from comfymesh.client import AsyncClient, Progress

_STEPS = 20

Step = tuple[str, int, int]
"""A graph node, its step and its number of steps."""


@dataclass(frozen=True, slots=True)
class ProgressLatency:
    """Milliseconds from the moment that an event is passed to the agent until the subscriber holds the progress.

    Attributes:
        latency: Of the steps that arrived.
        gap: Time between two steps as ComfyUI told them. Steps that follow faster than the agent passes progress on
            are conflated, and the latest of them then waits for its turn.
        sent: Steps that ComfyUI told.
    """

    latency: Quantiles
    gap: Quantiles
    sent: int

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [
            ("**progress, event to subscriber: p50 / p95**", f"**{self.latency.p50:.1f} / {self.latency.p95:.1f} ms**"),
            ("steps that arrived (the rest were conflated)", f"{self.latency.count} of {self.sent}"),
            ("time between two steps: p50 / p95", f"{self.gap.p50:.0f} / {self.gap.p95:.0f} ms"),
        ]


@dataclass(slots=True)
class Sightings:
    """When each step of one task was first seen on its way out, and when it arrived."""

    sent: dict[Step, float] = field(default_factory=dict)
    arrived: dict[Step, float] = field(default_factory=dict)

    def note(self, text: str, now: float) -> None:
        """An event of ComfyUI passes."""
        for step in _steps(json.loads(text)):
            self.sent.setdefault(step, now)

    def receive(self, progress: Progress) -> None:
        """The subscriber is told."""
        step = (progress.graph_node, progress.step, progress.step_count)
        self.arrived.setdefault(step, time.perf_counter())

    def latencies(self) -> list[float]:
        """Milliseconds of each step that was seen on both sides."""
        return [(at - self.sent[step]) * 1000 for step, at in self.arrived.items() if step in self.sent]

    def gaps(self) -> list[float]:
        """Milliseconds between each step and the one before it."""
        return [(after - before) * 1000 for before, after in itertools.pairwise(sorted(self.sent.values()))]


async def measure(comfy: ground.ComfyUI, tasks: int, size: int) -> ProgressLatency:
    """Watch `tasks` tasks that sample pictures of `size` pixels in steps, one after the other."""
    seen = Sightings()
    latencies, gaps, sent = list[float](), list[float](), 0

    def note(text: str, now: float) -> None:
        seen.note(text, now)

    async with (
        proxy.recording(comfy.url, note) as url,
        ground.mesh([url]) as mesh,
        AsyncClient(mesh.target) as client,
    ):
        await client.run(graphs.steps(comfy.checkpoint, 1, size))
        for _ in range(tasks):
            seen = Sightings()
            await client.run(graphs.steps(comfy.checkpoint, _STEPS, size), on_progress=seen.receive)
            latencies += seen.latencies()
            gaps += seen.gaps()
            sent += len(seen.sent)
    return ProgressLatency(Quantiles.of(latencies), Quantiles.of(gaps), sent)


def _steps(event: dict[str, Any]) -> list[Step]:
    """The steps that an event tells. ComfyUI tells each twice, as a state of the graph node and then by itself."""
    data = event["data"]
    match event["type"]:
        case "progress":
            return [(data["node"], data["value"], data["max"])]
        case "progress_state":
            states = data["nodes"].items()
            return [(node, s["value"], s["max"]) for node, s in states if s["state"] == "running" and s["value"]]
        case _:
            return []
