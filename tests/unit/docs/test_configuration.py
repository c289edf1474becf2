"""The page of settings is made from the classes, and every setting is told about in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from comfymesh.stack import configuration

ROOT = Path(__file__).parents[3]
SETTINGS = {name: field for cls in configuration.SERVICES.values() for name, field in cls.model_fields.items()}
UNITS = {"_seconds": "seconds", "_hours": "hours", "_days": "days", "_bytes": "bytes"}


def row(name: str) -> list[str]:
    """The cells of a setting's one row."""
    (line,) = [line for line in configuration.page().splitlines() if line.startswith(f"| `COMFYMESH_{name.upper()}` |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_is_made_from_the_classes() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == configuration.page(), "run `make docs`"


@pytest.mark.parametrize("name", SETTINGS)
class TestEach:
    def test_it_is_told_what_it_does(self, name: str) -> None:
        assert len(row(name)) == 7
        assert row(name)[-1].endswith(".")

    def test_its_unit_is_told(self, name: str) -> None:
        assert [unit for suffix, unit in UNITS.items() if name.endswith(suffix)] in ([], [row(name)[2]])

    def test_its_default_is_no_secret_and_of_no_one_machine(self, name: str) -> None:
        default = SETTINGS[name].get_default(call_default_factory=False)
        assert not isinstance(default, SecretStr) or not default.get_secret_value()
        assert not isinstance(default, Path) or default.as_posix().startswith(("/var/lib/", "/run/"))


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("nats_url", ["text", "", "`nats://127.0.0.1:4222`", "may be", ""]),
        ("notifier_webhook_secrets", ["text", "", "", "yes", ""]),
        ("agent_node", ["text", "", "The host's name", "", ""]),
        ("agent_look_ahead", ["integer, >= 0, <= 4", "", "`1`", "", "agent"]),
        ("agent_labels", ["JSON object", "", "`{}`", "", "agent"]),
        ("task_retention_days", ["number, >= 1", "days", "`30`", "", ""]),
        ("egress_allow", ["list", "", "", "", ""]),
        ("api_auth", ["`keys`, `open`", "", "`keys`", "", ""]),
    ],
)
def test_rows_say_what_the_classes_say(name: str, cells: list[str]) -> None:
    assert row(name)[1:-1] == cells
