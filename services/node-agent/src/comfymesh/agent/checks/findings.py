"""What a check has found: values, and how they are told. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

EXIT_FINE = 0
EXIT_FAILED = 1

_SECRETS = re.compile(r"//[^@/\s,]*@")
_MARKS = {"OK": "ok    ", "WARNING": "warn  ", "FAILED": "FAILED"}


class Outcome(StrEnum):
    """How a check went."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What kind of thing, for machines: settings, nats, docker, process, attach, gpu, disk, clock.
        outcome: How it is. A warning does not keep the node from serving.
        tried: What was done to find out.
        found: What that showed.
        mend: What to do; empty where all is well.
    """

    check: str
    outcome: Outcome
    tried: str
    found: str
    mend: str = ""


def ok(check: str, tried: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Outcome.OK, tried, found)


def warning(check: str, tried: str, found: str, mend: str) -> Finding:
    """Not as it should be, and the node can serve all the same."""
    return Finding(check, Outcome.WARNING, tried, found, mend)


def failed(check: str, tried: str, found: str, mend: str) -> Finding:
    """The node can't serve, or not all of its instances."""
    return Finding(check, Outcome.FAILED, tried, found, mend)


def exit_code(findings: Sequence[Finding]) -> int:
    """What the command ends with."""
    return EXIT_FAILED if any(finding.outcome is Outcome.FAILED for finding in findings) else EXIT_FINE


def as_text(findings: Sequence[Finding]) -> str:
    """For people: a line a finding, and below it what to do."""
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.outcome]} {finding.check:<9} {finding.tried}: {finding.found}")
        if finding.mend:
            lines.append(f"{'':<17}to mend: {finding.mend}")
    return _without_secrets("\n".join(lines))


def as_json(findings: Sequence[Finding]) -> str:
    """For machines: one object, with the exit code and every finding."""
    told = {"exit_code": exit_code(findings), "findings": [asdict(finding) for finding in findings]}
    return _without_secrets(json.dumps(told, indent=2, ensure_ascii=False))


def _without_secrets(text: str) -> str:
    """Whatever library a text comes from, no address in it keeps its user and password."""
    return _SECRETS.sub("//", text)
