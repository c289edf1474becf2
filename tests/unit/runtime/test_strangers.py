"""Variables that nobody reads are told of, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comfymesh.runtime.known_variables import NAMES
from comfymesh.runtime.strangers import strangers

_SERVICE = """
from comfymesh.runtime import service
from comfymesh.runtime.settings import ServiceSettings

async def serve(settings, stop):
    pass

service.run("one", ServiceSettings, serve)
"""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("COMFYMESH_SCHEDULER_REPORT_TLL", "did you mean COMFYMESH_SCHEDULER_REPORT_TTL?"),
        ("comfymesh_nats_urls", "did you mean COMFYMESH_NATS_URL?"),
        ("COMFYMESH_QQQQ", "docs/configuration.md has all that there are"),
        ("COMFYMESH_", "docs/configuration.md has all that there are"),
    ],
)
def test_a_name_that_nobody_knows_is_told_with_the_nearest_one_and_without_its_value(name: str, hint: str) -> None:
    assert strangers({name: "hunter2"}) == [f"{name} is no setting of ComfyMesh and changes nothing; {hint}"]


def test_variables_of_all_services_of_the_command_line_and_of_others_are_no_strangers() -> None:
    assert strangers({**dict.fromkeys(NAMES - {"COMFYMESH_API_WORKER_OF", "COMFYMESH_SECRETS_DIR"}, "x")}) == []
    assert strangers({"comfymesh_log_level": "info", "HOME": "/", "_COMFYMESH_COMPLETE": "x"}) == []


def test_a_file_that_stands_for_none_is_told_too(tmp_path: Path) -> None:
    for name in ("COMFYMESH_NATS_URI", "COMFYMESH_NATS_URL", "bootstrap-key"):
        (tmp_path / name).touch()
    (line,) = strangers({"COMFYMESH_SECRETS_DIR": str(tmp_path)})
    assert line.startswith("COMFYMESH_NATS_URI is no setting")


def test_a_folder_that_is_not_there_is_left_to_the_settings(tmp_path: Path) -> None:
    assert strangers({"COMFYMESH_SECRETS_DIR": str(tmp_path / "none")}) == []


def test_what_kubernetes_gives_for_a_service_is_nobodys_mistake() -> None:
    given = ("API_SERVICE_HOST", "API_SERVICE_PORT_GRPC", "API_PORT", "API_PORT_7700_TCP_ADDR")
    assert strangers({f"COMFYMESH_{name}": "tcp://10.0.0.1:7700" for name in given}) == []
    assert len(strangers({"COMFYMESH_API_PORT": "7700"})) == 1


def test_of_very_many_and_very_long_names_few_characters_are_told() -> None:
    lines = strangers({f"COMFYMESH_{number:03}_{5000 * 'x'}": "" for number in range(100)})
    assert len(lines) == 9
    assert lines[-1] == "and 92 more"
    assert max(map(len, lines)) < 200


def test_a_worker_leaves_it_to_whoever_started_it() -> None:
    assert strangers({"COMFYMESH_API_WORKER_OF": "7", "COMFYMESH_LOG_LEVL": "debug"}) == []


def test_a_service_warns_once_when_it_starts() -> None:
    environment = {**os.environ, "COMFYMESH_SCHEDULER_REPORT_TLL": "hunter2", "COMFYMESH_API_LISTEN": "127.0.0.1:1"}
    ended = subprocess.run(
        [sys.executable, "-c", _SERVICE], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stderr.count("COMFYMESH_") == 2  # the name, and the one that may have been meant
    assert "COMFYMESH_SCHEDULER_REPORT_TLL is no setting" in ended.stderr
    assert "setting_unknown" in ended.stderr
    assert "hunter2" not in ended.stderr
