"""Settings that are read again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from comfymesh.agent import commands, reload_command
from comfymesh.agent.checks.findings import Outcome
from comfymesh.agent.reload import Refused, Reloading, answer_file, read_settings
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.settings_change import LIVE, change


@pytest.fixture
def log_level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


class Agent:
    """An agent that has begun with some settings."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "agent.env"
        self.followed: list[AgentSettings] = []
        self.running = AgentSettings(agent_node="a", agent_reload_file=self.file, agent_labels={"zone": "a"})
        self.reloading = Reloading(self.running, self.followed.append)

    def read(self, text: str) -> dict[str, list[str]]:
        """Have it read these settings; answers what it says."""
        fixed = f"COMFYMESH_AGENT_NODE=a\nCOMFYMESH_AGENT_RELOAD_FILE={self.file}\n"
        self.file.write_text(fixed + text)
        self.reloading.read()
        answer: dict[str, list[str]] = json.loads(answer_file(self.running).read_text())
        return answer


@pytest.fixture
def agent(tmp_path: Path, log_level: None) -> Agent:  # put back afterwards
    return Agent(tmp_path)


def test_what_can_hold_at_once_does_and_the_rest_is_named(agent: Agent) -> None:
    answer = agent.read('COMFYMESH_AGENT_LABELS={"zone":"b"}\nCOMFYMESH_LOG_LEVEL=debug\nCOMFYMESH_OTLP_ENDPOINT=x:1\n')
    assert answer == {
        "applied": ["COMFYMESH_AGENT_LABELS", "COMFYMESH_LOG_LEVEL"],
        "waiting": ["COMFYMESH_OTLP_ENDPOINT"],
    }
    (followed,) = agent.followed
    assert (followed.agent_labels, followed.otlp_endpoint) == ({"zone": "b"}, "")
    assert agent.reloading.settings == followed
    assert logging.getLogger().level == logging.DEBUG


def test_what_waits_for_a_restart_is_named_each_time(agent: Agent) -> None:
    for _ in range(2):
        assert agent.read("COMFYMESH_OTLP_ENDPOINT=x:1\n")["waiting"] == ["COMFYMESH_OTLP_ENDPOINT"]


def test_what_the_file_does_not_name_has_its_default(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYMESH_AGENT_LABELS", '{"zone":"a"}')
    before = dict(os.environ)
    assert agent.read("")["applied"] == ["COMFYMESH_AGENT_LABELS"]
    assert agent.reloading.settings.agent_labels == {}
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("COMFYMESH_AGENT_LOOK_AHEAD=99\n", "COMFYMESH_AGENT_LOOK_AHEAD: Input should be less than or equal to 4"),
        ("COMFYMESH_AGENT_POOLS=[{]\n", "is it JSON?"),
        ("secret\n", "line 3 is not of the form NAME=VALUE"),
        ("COMFYMESH_NATS_URL=nats://a:secret@\n", "COMFYMESH_NATS_URL: "),
    ],
)
def test_settings_that_are_wrong_change_nothing_and_tell_no_secret(
    agent: Agent, caplog: pytest.LogCaptureFixture, text: str, said: str
) -> None:
    (refused,) = agent.read(text + "COMFYMESH_LOG_LEVEL=debug\n" * (text != "secret\n"))["refused"]
    assert said in refused
    assert said in caplog.text
    assert "secret" not in caplog.text + refused
    assert agent.followed == []
    assert agent.reloading.settings == agent.running


def test_a_file_that_is_not_there_changes_nothing(agent: Agent) -> None:
    agent.reloading.read()
    (refused,) = json.loads(answer_file(agent.running).read_text())["refused"]
    assert "No such file" in refused
    assert agent.followed == []


def test_every_setting_of_the_agent_is_live_or_not() -> None:
    assert set(AgentSettings.model_fields) >= LIVE
    one = AgentSettings(agent_node="a")
    assert change(one, one.model_copy(update={"agent_node": "b", "agent_drain_seconds": 1.0})).waiting == (
        "COMFYMESH_AGENT_NODE",
    )


# The command.


def test_the_command_brings_the_settings_and_says_what_came_of_them(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(pid: int, _: int) -> None:
        assert pid == 7
        assert agent.file.stat().st_mode & 0o777 == 0o600
        agent.reloading.read()

    monkeypatch.setattr(reload_command, "os", SimpleNamespace(kill=kill, fdopen=os.fdopen))
    text = f"COMFYMESH_AGENT_NODE=b\nCOMFYMESH_AGENT_RELOAD_FILE={agent.file}\n"
    found = reload_command.reload(text, agent.running, 7)
    assert [(finding.outcome, finding.found) for finding in found] == [
        (Outcome.OK, "these hold now: COMFYMESH_AGENT_LABELS"),
        (Outcome.WARNING, "not yet: COMFYMESH_AGENT_NODE"),
    ]
    # It may hold a password, and stays nowhere.
    assert list(agent.file.parent.iterdir()) == []


def test_an_agent_that_does_not_answer_or_is_away_is_said_so(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload_command, "os", SimpleNamespace(kill=lambda *_: None, fdopen=os.fdopen))
    (finding,) = reload_command.reload("", agent.running, 7, seconds=0.0)
    assert (finding.outcome, finding.found) == (Outcome.FAILED, "the agent has not answered within 0 s")
    (finding,) = reload_command.reload("", agent.running.model_copy(update={"agent_reload_file": Path("/no/where")}), 7)
    assert finding.outcome is Outcome.FAILED
    assert list(agent.file.parent.iterdir()) == []


def test_the_command_refuses_a_file_that_is_wrong_before_the_agent_hears_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.env"
    file.write_text("COMFYMESH_AGENT_LOOK_AHEAD=99\n")
    assert commands.run(["reload", "--pid", "1", "--json", "--settings", str(file)]) == 78
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["found"].startswith("COMFYMESH_AGENT_LOOK_AHEAD: ")
    with pytest.raises(SystemExit, match="--pid"):
        commands.run(["reload", "--settings", str(file)])


def test_settings_are_read_as_systemd_reads_them() -> None:
    settings = read_settings("# comment\nCOMFYMESH_AGENT_NODE='gpu-1'\nPATH=/nowhere\n")
    assert settings.agent_node == "gpu-1"
    assert os.environ["PATH"] != "/nowhere"
    with pytest.raises(Refused):
        read_settings("nothing")
