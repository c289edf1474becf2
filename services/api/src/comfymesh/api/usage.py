"""Adds up what tenants have used. Pure but for reading the ledger."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from comfymesh import names
from comfymesh.bus import usage as ledger
from comfymesh.bus.port import Bus
from comfymesh.bus.usage import Told
from comfymesh.tasks.ledger import Kind, Sum
from comfymesh.tasks.moments import timestamp
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
    """What was used. It is read and added up by the day: nothing else waits for a year.

    Raises:
        BusUnavailableError: no answer.
    """
    position, _ = await ledger.position_of(bus)
    adding = _Adding(asked.group_by)
    async for day in ledger.by_day(bus, asked.tenant, asked.start, asked.end):
        adding.add(day)
    return Usage(*adding.rows(), position.time if position else 0.0)


class _Adding:
    """Adds hours up."""

    def __init__(self, group_by: Sequence[int]) -> None:
        self._group_by = group_by
        self._rows = dict[_Key, _Total]()
        self._total = _Total(Sum())

    def add(self, told: Iterable[Told]) -> None:
        """Add hours."""
        for hour in told:
            for kind, each in hour.sums.sums.items():
                self._rows.setdefault(_key(hour, kind, self._group_by), _Total(Sum())).add(kind, each)
                self._total.add(kind, each)

    def rows(self) -> tuple[list[usage_pb2.UsageRow], usage_pb2.UsageRow]:
        """Rows, and their sum."""
        rows = sorted(self._rows.items(), key=lambda pair: pair[0])
        return [_row(key, row) for key, row in rows], _row(_Key(), self._total)


class Answers:
    """What was added up for a first page, kept for those that follow. What is not kept any more is added up anew.

    Args:
        rows: How many are kept at most, of all answers.
    """

    def __init__(self, rows: int = 50_000) -> None:
        self._most = rows
        self._kept = OrderedDict[tuple[Query, float], Usage]()

    def keep(self, asked: Query, found: Usage) -> None:
        """Keep it; those that were kept longest go."""
        self._kept[asked, found.through] = found
        self._kept.move_to_end((asked, found.through))
        while self._kept and sum(len(each.rows) for each in self._kept.values()) > self._most:
            self._kept.popitem(last=False)

    def get(self, asked: Query, through: float) -> Usage | None:
        """What was answered before, with all that was known up to then; None where that is not kept."""
        return self._kept.get((asked, through))

    def drop(self, asked: Query, through: float) -> None:
        """Its last page was asked for."""
        self._kept.pop((asked, through), None)


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
