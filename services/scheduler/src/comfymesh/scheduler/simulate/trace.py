"""Traces of requests, and how long their models take to load."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LORA_FILE = "gentd26-lora-load-seconds.csv"
"""The quantiles of LoRA loads, where no other file is named and this one lies beside those of model loads."""


class TraceError(Exception):
    """A file can't be used; the message says which, where, why, and what would be right."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a trace.

    Attributes:
        number: Its place in the trace.
        arrival: When it arrived, seconds since the first.
        run: Seconds that it runs on a GPU of speed 1, without loads.
        tenant: Whose it is.
        model: The checkpoint that it needs.
        loras: The LoRAs that are patched in.
        shape: What it has in common with others, as far as can be known when it arrives.
        units: Its size among those: steps x images.
    """

    number: int
    arrival: float
    run: float
    tenant: str
    model: str
    loras: tuple[str, ...]
    shape: str
    units: float


def read_trace(path: Path) -> list[Request]:
    """The requests in a file, in order of arrival.

    A trace says how many LoRAs a request has and not which: a tenant is taken to use the same ones with a model.

    Raises:
        TraceError: the file can't be read, lacks a column, has a value that makes no sense, or no requests.
    """
    columns = ("arrival_s", "exec_s", "tenant", "model", "num_lora", "kind", "images", "steps")
    rows = _read(path, columns, _request)
    rows.sort(key=lambda request: request.arrival)
    return [replace(request, number=number) for number, request in enumerate(rows)]


def _request(row: dict[str, str]) -> Request:
    run, arrival = _number(row, "exec_s"), _number(row, "arrival_s")
    if run <= 0:
        raise ValueError("exec_s must be above 0")
    tenant, model, count = row["tenant"], row["model"], _count(row, "num_lora")
    if count > _MOST_LORAS:
        raise ValueError(f"num_lora must be at most {_MOST_LORAS}")
    return Request(
        number=0,
        arrival=arrival,
        run=run,
        tenant=tenant,
        model=model,
        loras=tuple(f"{tenant}/{model}/lora-{n}" for n in range(count)),
        shape=f"{model}/{row['kind']}/{count}",
        units=float(max(_count(row, "images"), 1) * max(_count(row, "steps"), 1)),
    )


_MOST_LORAS = 100


def part_of(requests: Sequence[Request], part: str | None) -> Sequence[Request]:
    """The `first` or `second` half of the requests; all of them for None."""
    middle = max(len(requests) // 2, 1)
    halves = {"first": requests[:middle], "second": requests[-middle:], None: requests}
    return [replace(request, number=number) for number, request in enumerate(halves[part])]


def scale(requests: Sequence[Request], gpus: float, utilisation: float) -> list[Request]:
    """The requests with arrivals so spread that running them uses this part of so many GPUs of speed 1."""
    first, last = requests[0].arrival, requests[-1].arrival
    work = sum(request.run for request in requests)
    factor = work / (gpus * utilisation) / (last - first) if last > first else 0.0
    return [replace(request, arrival=(request.arrival - first) * factor) for request in requests]


class LoadTimes:
    """How long each model takes to load: drawn once for each from measured quantiles.

    Args:
        models: Quantiles of checkpoints, seconds, from lowest to highest.
        loras: The same of LoRAs.
        seed: The same seed draws the same.
    """

    def __init__(self, models: Sequence[float], loras: Sequence[float], seed: int) -> None:
        self._models = models
        self._loras = loras
        self._seed = seed
        self._drawn: dict[str, float] = {}

    def model(self, name: str) -> float:
        """Seconds to load a checkpoint."""
        return self._draw(name, self._models)

    def lora(self, name: str) -> float:
        """Seconds to load a LoRA."""
        return self._draw(name, self._loras)

    def _draw(self, name: str, quantiles: Sequence[float]) -> float:
        seconds = self._drawn.get(name)
        if seconds is None:
            chance = random.Random(f"{self._seed}/{name}").random()  # noqa: S311  # not for secrets
            seconds = self._drawn[name] = quantiles[int(chance * len(quantiles))]
        return seconds


def read_quantiles(path: Path) -> list[float]:
    """The seconds in a file of quantiles.

    Raises:
        TraceError: as `read_trace`.
    """
    return sorted(_read(path, ("quantile", "seconds"), _seconds))


def _seconds(row: dict[str, str]) -> float:
    seconds = _number(row, "seconds")
    if seconds < 0:
        raise ValueError("seconds must not be negative")
    return seconds


def _read(path: Path, columns: Sequence[str], convert: Callable[[dict[str, str]], T]) -> list[T]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="")
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise TraceError(f"{path} has no column {', '.join(missing)}; it must have {', '.join(columns)}")
            found = [_convert(path, reader.line_num, row, convert) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path} can't be read: {error}") from error
    if not found:
        raise TraceError(f"{path} has no rows below its header")
    return found


def _convert(path: Path, line: int, row: dict[str, str], convert: Callable[[dict[str, str]], T]) -> T:
    try:
        return convert(row)
    except ValueError as error:
        raise TraceError(f"{path}, line {line}: {error}") from error


def _number(row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}, not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{column} is {row[column]!r}, not a finite number")
    return value


def _count(row: dict[str, str], column: str) -> int:
    value = _number(row, column)
    if value < 0 or value != int(value):
        raise ValueError(f"{column} is {row[column]!r}, not a count")
    return int(value)
