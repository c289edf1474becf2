"""The commands for the operator, as far as they need nothing outside of the process."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from comfymesh.agent import commands
from comfymesh.agent.checks.findings import Finding, Outcome
from comfymesh.agent.settings import AgentSettings


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(commands, "SETTINGS_FILE", tmp_path / "none")


def test_settings_that_are_wrong_end_it_with_their_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.env"
    file.write_text("COMFYMESH_NATS_URL=nats://node:secret@\nCOMFYMESH_AGENT_LOOK_AHEAD=99\n")
    assert commands.run(["check", "--json", "--settings", str(file)]) == 78
    told = capsys.readouterr().out
    found = [finding["found"] for finding in json.loads(told)["findings"]]
    assert [text.partition(":")[0] for text in found] == ["COMFYMESH_NATS_URL", "COMFYMESH_AGENT_LOOK_AHEAD"]
    assert "secret" not in told


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["check", "--settings", str(tmp_path / "agent.env")]) == 78
    assert "No such file" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "reload"])
def test_a_setting_that_nobody_knows_is_warned_of(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check(_: AgentSettings) -> list[Finding]:
        return []

    monkeypatch.setattr(logging, "disable", lambda: None)
    monkeypatch.setattr(commands, "_become", lambda _: None)
    monkeypatch.setattr(commands, "check", check)
    monkeypatch.setattr(commands, "reload", lambda *_: [])
    file = tmp_path / "agent.env"
    file.write_text("COMFYMESH_AGENT_LOOKAHEAD=2\n")
    assert commands.run([command, "--pid", "7", "--json", "--settings", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    warned = [finding["found"] for finding in found if finding["outcome"] == Outcome.WARNING]
    assert [text.partition(" is ")[0] for text in warned] == ["COMFYMESH_AGENT_LOOKAHEAD"]
