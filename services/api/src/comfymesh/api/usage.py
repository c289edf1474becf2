"""Adds up what tenants have used. Pure but for reading the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from comfymesh import names
from comfymesh.bus import usage as ledger
from comfymesh.bus.port import Bus
from comfymesh.bus.usage import Told
from comfymesh.tasks.codec import timestamp
from comfymesh.tasks.ledger import Kind, Sum
from comfymesh.tasks.usage import SUCCEEDED
from comfymesh.v1 import usage_pb2

EVERYBODY = "*"
"""In place of a tenant: all of them."""

_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked.

    Attributes:
        tenant: Whose usage, `EVERYBODY` for that of all.
        start: Beginning of the first hour, seconds since the epoch.
        end: Hours that begin from here on are out, seconds since the epoch.
        group_by: What is told apart, by the numbers of `UsageDimension`.
    """

    tenant: str
    start: int
    end: int
    group_by: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class _Key:
    """What a row is of; empty where that is not told apart."""

    hour: int = 0
    tenant: str = ""
    workflow: str = ""
    models: tuple[str, ...] = ()
    gpu_class: str = ""
    outcome: str = ""


@dataclass(slots=True)
class _Total:
    sum: Sum
    charged: int = 0
    wasted: int = 0

    def add(self, kind: Kind, each: Sum) -> None:
        micros = each.load_micros + each.run_micros
        self.sum.add(each)
        self.charged += micros if kind.charged else 0
        self.wasted += micros if kind.outcome != SUCCEEDED else 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used: a row for each combination of what is told apart, sorted; their sum; up to when that is so."""

    rows: Sequence[usage_pb2.UsageRow]
    total: usage_pb2.UsageRow
    through: float


async def query(bus: Bus, asked: Query) -> Usage:
    """What was used.

    Raises:
        BusUnavailableError: no answer.
    """
    position, _ = await ledger.position_of(bus)
    rows, total = add_up(await ledger.hours(bus, asked.tenant, asked.start, asked.end), asked.group_by)
    return Usage(rows, total, position.time if position else 0.0)


def add_up(told: Iterable[Told], group_by: Sequence[int]) -> tuple[list[usage_pb2.UsageRow], usage_pb2.UsageRow]:
    """Rows, and their sum."""
    rows, total = dict[_Key, _Total](), _Total(Sum())
    for hour in told:
        for kind, each in hour.sums.sums.items():
            rows.setdefault(_key(hour, kind, group_by), _Total(Sum())).add(kind, each)
            total.add(kind, each)
    return [_row(key, row) for key, row in sorted(rows.items(), key=lambda pair: pair[0])], _row(_Key(), total)


def _key(hour: Told, kind: Kind, group_by: Sequence[int]) -> _Key:
    by = usage_pb2.UsageDimension
    return _Key(
        hour.hour if by.USAGE_DIMENSION_HOUR in group_by else 0,
        names.tenant(hour.tenant) if by.USAGE_DIMENSION_TENANT in group_by else "",
        kind.workflow if by.USAGE_DIMENSION_WORKFLOW in group_by else "",
        kind.models if by.USAGE_DIMENSION_MODELS in group_by else (),
        kind.gpu_class if by.USAGE_DIMENSION_GPU_CLASS in group_by else "",
        kind.outcome if by.USAGE_DIMENSION_OUTCOME in group_by else "",
    )


def _row(key: _Key, total: _Total) -> usage_pb2.UsageRow:
    return usage_pb2.UsageRow(
        hour=timestamp(key.hour) if key.hour else None,
        tenant=key.tenant,
        workflow=key.workflow,
        models=key.models,
        gpu_class=key.gpu_class,
        outcome=key.outcome,
        attempts=total.sum.attempts,
        load_seconds=total.sum.load_micros / _MICROS,
        run_seconds=total.sum.run_micros / _MICROS,
        charged_seconds=total.charged / _MICROS,
        wasted_seconds=total.wasted / _MICROS,
    )
