"""The commands for the operator, as far as they need nothing outside of the process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from comfymesh.agent import commands


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
