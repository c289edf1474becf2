"""What a check tells, to people and to machines."""

from __future__ import annotations

import json

from comfymesh.agent.checks import findings
from comfymesh.agent.checks.findings import failed, ok, warning

FINE = ok("disk", "write to /srv", "80 GiB are free")
POOR = warning("clock", "compare the clocks", "they differ by +3.0 s", "keep both in time")
BAD = failed("nats", "connect to nats://node:secret@mesh:4222", "refused", "correct COMFYMESH_NATS_URL")


def test_only_a_failure_is_one() -> None:
    assert findings.exit_code([FINE, POOR]) == 0
    assert findings.exit_code([FINE, BAD, POOR]) == 1


def test_people_are_told_what_was_tried_what_was_found_and_what_to_do() -> None:
    assert findings.as_text([FINE, POOR]).splitlines() == [
        "ok     disk      write to /srv: 80 GiB are free",
        "warn   clock     compare the clocks: they differ by +3.0 s",
        "                 to mend: keep both in time",
    ]


def test_machines_are_told_the_same() -> None:
    told = json.loads(findings.as_json([POOR]))
    assert told["exit_code"] == 0
    assert told["findings"] == [
        {
            "check": "clock",
            "outcome": "WARNING",
            "tried": "compare the clocks",
            "found": "they differ by +3.0 s",
            "mend": "keep both in time",
        }
    ]


def test_no_password_is_told() -> None:
    for text in (findings.as_text([BAD]), findings.as_json([BAD])):
        assert "secret" not in text
        assert "nats://mesh:4222" in text
