"""A slice of a production trace of image requests, and the load times of its models. Pure but for reading the files.

Columns as in the requests of GenTD26 (Alibaba Cluster Trace Program, cluster-trace-v2026-GenAI): arrival and execution
in seconds, tenant, base model, number of LoRAs. Load times are a table of quantiles.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it came and how long it executes, in seconds, and what it needs."""

    arrival: float
    execution: float
    tenant: str
    model: str
    loras: int


def read(path: Path, first: int, count: int) -> list[Request]:
    """`count` requests from the `first` one on.

    Raises:
        ValueError: there are not so many.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))[first : first + count]
    if len(rows) < count:
        raise ValueError(f"{path} has no {count} requests from number {first} on")
    return [
        Request(float(row["arrival_s"]), float(row["exec_s"]), row["tenant"], row["model"], int(row["num_lora"]))
        for row in rows
    ]


def compressed(requests: Sequence[Request], speed: float, step: float, gpus: int, utilisation: float) -> list[Request]:
    """The slice as it is replayed: executions `speed` times shorter, in whole steps, arrivals scaled.

    Args:
        requests: The slice.
        speed: How many times shorter.
        step: Seconds of one step.
        gpus: How many GPUs there are.
        utilisation: Share of their time that executions alone are to take.
    """
    short = [replace(r, execution=max(1, round(r.execution / speed / step)) * step) for r in requests]
    work = sum(request.execution for request in short)
    begin, end = short[0].arrival, short[-1].arrival
    scale = work / (gpus * utilisation) / max(end - begin, 1e-9)
    return [replace(request, arrival=(request.arrival - begin) * scale) for request in short]


class LoadTimes:
    """How long each file takes to load, drawn once for each from quantiles.

    Args:
        path: A table of quantiles and seconds.
        seed: Of the draw.
    """

    def __init__(self, path: Path, seed: int) -> None:
        with path.open(newline="") as file:
            self._seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        self._seed = seed

    def of(self, name: str) -> float:
        """Seconds that one file takes: the same for a seed, whatever else was drawn."""
        return random.Random(f"{self._seed}/{name}").choice(self._seconds)  # noqa: S311  # a draw for a benchmark
