"""Types of the values in a rules file: durations, sizes, names, patterns. Each says what it would take."""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from comfymesh.notifier.domain import patterns

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)")
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return list(Severity).index(self)


def worst(*severities: Severity) -> Severity:
    """The worst of some severities."""
    return max(severities, key=lambda severity: severity.rank)


class Model(BaseModel):
    """A part of the rules file. What it does not know is refused: a slip of the pen must not be passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _duration(value: object) -> object:
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    if isinstance(value, str | bool):
        raise ValueError(  # noqa: TRY004  # what pydantic collects
            "must be a duration such as 30s, 5m, 1h30m or 2d, or a number of seconds"
        )
    return value


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError("must be a size such as 10GiB or 500MB, or a number of bytes")
    return float(match[1]) * _SIZES[match[2]]


def _share(value: object) -> object:
    if isinstance(value, str) and value.endswith("%"):
        return float(value.removesuffix("%")) / 100
    return value


def cut(text: str, most: int) -> str:
    """The beginning of a text, of at most so many bytes in UTF-8."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def like(globs: tuple[str, ...], text: str) -> bool:
    """Whether a text is like one of some globs such as `team-*`. No globs mean any text."""
    return not globs or any(fnmatchcase(text, glob) for glob in globs)


Duration = Annotated[float, BeforeValidator(_duration), Field(ge=0, le=90 * 86400, allow_inf_nan=False)]
"""Seconds."""
Size = Annotated[float, BeforeValidator(_size), Field(ge=0, allow_inf_nan=False)]
"""Bytes."""
Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1, allow_inf_nan=False)]
"""0 to 1."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
"""A name out of `a-z0-9-`."""
Pattern = Annotated[str, AfterValidator(patterns.checked)]
"""A regular expression of RE2."""
Globs = Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=256)]
"""Texts with wildcards as a shell has them."""
