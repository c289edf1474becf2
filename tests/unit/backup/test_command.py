"""The command `comfymesh admin`, as far as it needs no server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from comfymesh.backup.archive import Writer
from comfymesh.backup.command import admin
from comfymesh.backup.manifest import Manifest, StreamBackup


@pytest.mark.parametrize("command", ["backup", "verify", "restore"])
def test_every_command_has_json_and_examples(command: str) -> None:
    output = CliRunner().invoke(admin, [command, "--help"]).output
    assert "Examples:" in output
    assert f"comfymesh admin {command}" in output
    assert "--json" in output
    assert "\\b" not in output


def test_the_group_shows_examples_as_they_are_written() -> None:
    output = CliRunner().invoke(admin, ["--help"]).output
    assert "\n    comfymesh admin backup /backups\n" in output
    assert "\\b" not in output


def test_a_refusal_is_json_where_that_was_asked_for(tmp_path: Path) -> None:
    told = CliRunner().invoke(admin, ["verify", str(tmp_path / "none"), "--json"])
    assert (told.exit_code, told.stdout) == (1, "")
    assert json.loads(told.stderr)["reason"]
    words = CliRunner().invoke(admin, ["verify", str(tmp_path / "none")])
    assert words.stderr == f"Error: {json.loads(told.stderr)['message']}  [{json.loads(told.stderr)['reason']}]\n"


def test_what_a_backup_holds_is_one_line(tmp_path: Path) -> None:
    with Writer(tmp_path / "x") as writer:
        part = writer.part("TASKS", 0, b"one")
        stream = StreamBackup(name="TASKS", config={}, state={"last_seq": 7, "messages": 5}, parts=(part,))
        writer.finish(Manifest(id="i", began="b", ended="e", server="2", artifacts="nats", streams=(stream,)))
    told = CliRunner().invoke(admin, ["verify", str(tmp_path / "x"), "--json"])
    assert json.loads(told.stdout)["streams"] == [{"name": "TASKS", "messages": 5, "size_bytes": 3}]
