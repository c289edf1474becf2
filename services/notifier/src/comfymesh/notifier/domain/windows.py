"""When nobody is told: silences that people make at once, and maintenance windows that the rules file plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from comfymesh.notifier.domain.values import Globs, Model, Name, like

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody is told of some alerts for some time.

    Attributes:
        silence_id: Its name.
        rules: Globs on the names of rules; empty for all.
        labels: Globs on what alerts are about, such as `node`; all must hold.
        starts, ends: Seconds since the epoch.
    """

    silence_id: str
    rules: tuple[str, ...]
    starts: float
    ends: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def covers(self, rule: str, labels: Mapping[str, str], now: float) -> bool:
        """Whether an alert is silenced now."""
        return self.starts <= now < self.ends and _meant(self.rules, self.labels, rule, labels)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("is not a time zone such as Europe/Berlin or UTC") from error
    return name


class MaintenanceWindow(Model):
    """Planned quiet: from one moment to another, or at the same times of the week.

    Attributes:
        starts, ends: Moments with time zone; for a window that comes once.
        days: Days on which a weekly window begins.
        at: When it begins on these days, in `timezone`.
        lasts: How long it lasts.
        rules, labels: As of a silence.
    """

    name: Name
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None
    days: tuple[Day, ...] = ()
    at: time | None = None
    lasts: Annotated[timedelta | None, Field(gt=timedelta(0), le=timedelta(days=7))] = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    rules: Globs = ()
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)

    @model_validator(mode="after")
    def _one_kind(self) -> MaintenanceWindow:
        once, weekly = (self.starts, self.ends), (self.days, self.at, self.lasts)
        if all(once) and not any(weekly):
            if self.starts and self.ends and self.starts >= self.ends:
                raise ValueError("ends before it starts")
        elif any(once) or not all(part is not None and part != () for part in weekly):
            raise ValueError("needs either starts and ends, or days, at and lasts")
        return self

    def covers(self, rule: str, labels: Mapping[str, str], now: float) -> bool:
        """Whether an alert is silenced now."""
        return self._open(now) and _meant(self.rules, self.labels, rule, labels)

    def _open(self, now: float) -> bool:
        moment = datetime.fromtimestamp(now, UTC)
        if self.starts and self.ends:
            return self.starts <= moment < self.ends
        if self.at is None or self.lasts is None:
            return False
        local = moment.astimezone(ZoneInfo(self.timezone))
        begun = (self._began(local - timedelta(days=days)) for days in range(self.lasts.days + 2))
        return any(start <= moment < start + self.lasts for start in begun if start is not None)

    def _began(self, day: datetime) -> datetime | None:
        """When the window of that day begins, if there is one."""
        if _DAYS[day.weekday()] not in self.days or self.at is None:
            return None
        return datetime.combine(day.date(), self.at, ZoneInfo(self.timezone)).astimezone(UTC)


def _meant(globs: tuple[str, ...], wanted: Mapping[str, str], rule: str, labels: Mapping[str, str]) -> bool:
    return like(globs, rule) and all(like((glob,), labels.get(name, "")) for name, glob in wanted.items())
