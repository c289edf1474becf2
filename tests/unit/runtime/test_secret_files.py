"""Settings out of files stand before the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsError

from comfymesh.agent.settings import AgentSettings
from comfymesh.notifier.settings import NotifierSettings
from comfymesh.runtime.secret_files import SecretFileError
from comfymesh.runtime.service import problems
from comfymesh.runtime.settings import ServiceSettings

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMFYMESH_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("COMFYMESH_NATS_URL", "nats://of-the-environment:4222")
    return tmp_path


def test_a_file_stands_before_the_environment(folder: Path) -> None:
    (folder / "COMFYMESH_NATS_URL").write_text("nats://mesh:word@nats:4222\n")
    assert ServiceSettings().nats_url == "nats://mesh:word@nats:4222"


@pytest.mark.parametrize("text", ["", "\n", " \n"])
def test_an_empty_file_does_not_count(folder: Path, text: str) -> None:
    (folder / "COMFYMESH_NATS_URL").write_text(text)
    assert ServiceSettings().nats_url == "nats://of-the-environment:4222"


def test_without_files_or_a_folder_the_environment_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServiceSettings().nats_url == "nats://of-the-environment:4222"
    monkeypatch.setenv("COMFYMESH_SECRETS_DIR", str(folder / "missing"))
    assert ServiceSettings().nats_url == "nats://of-the-environment:4222"
    monkeypatch.delenv("COMFYMESH_SECRETS_DIR")
    assert ServiceSettings().nats_url == "nats://of-the-environment:4222"


def test_what_is_passed_stands_before_the_file(folder: Path) -> None:
    (folder / "COMFYMESH_NATS_URL").write_text("nats://of-the-file:4222")
    assert ServiceSettings(nats_url="nats://passed:4222").nats_url == "nats://passed:4222"


def test_settings_of_any_kind_are_read(folder: Path) -> None:
    (folder / "COMFYMESH_NOTIFIER_WEBHOOK_SECRETS").write_text(WHSEC)
    assert NotifierSettings().notifier_webhook_secrets == SecretStr(WHSEC)
    (folder / "COMFYMESH_AGENT_LABELS").write_text('{"zone": "a"}')
    (folder / "COMFYMESH_NATS_REPLICAS").write_text("3")
    assert AgentSettings(agent_node="n").agent_labels == {"zone": "a"}
    assert AgentSettings(agent_node="n").nats_replicas == 3


def test_a_file_that_is_no_json_is_named_and_not_shown(folder: Path) -> None:
    (folder / "COMFYMESH_AGENT_LABELS").write_text("{word")
    with pytest.raises(SettingsError) as told:
        AgentSettings(agent_node="n")
    (line,) = problems(told.value, AgentSettings)
    assert "agent_labels" in line
    assert "word" not in line


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(folder: Path) -> None:
    (folder / "COMFYMESH_NATS_URL").mkdir()
    with pytest.raises(SecretFileError) as told:
        ServiceSettings()
    (line,) = problems(told.value, ServiceSettings)
    assert str(folder / "COMFYMESH_NATS_URL") in line
    assert line.endswith("this user must read it")
    (folder / "COMFYMESH_NATS_URL").rmdir()
    (folder / "COMFYMESH_NATS_URL").write_bytes(b"\xff\xfe")
    with pytest.raises(SecretFileError, match="it is no text"):
        ServiceSettings()
