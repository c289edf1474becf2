from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from comfymesh.stack.command import dev

_WITHOUT_ADDRESS = "version: 1\nchannels:\n  - name: ops\n    env: NOBODY_SETS_THIS\n"


def test_a_folder_that_can_not_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = CliRunner().invoke(dev, ["--data", str(tmp_path / "file" / "data")])
    assert ended.exit_code == 1
    assert "can't be a folder for data: Not a directory" in ended.output


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--listen", "nowhere"], "write HOST:PORT (--listen)"),
        (["--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:99999"], "write HOST:PORT (--gateway)"),
        (["--listen", "[::1:7700"], "write HOST:PORT (--listen)"),
        (["--listen", "127.0.0.1:" + 5000 * "9"], "write HOST:PORT (--listen)"),
        (["--listen", "127.0.0.1:7701", "--gateway", "127.0.0.1:7701"], "can't both listen on 127.0.0.1:7701"),
        (["--listen", "0.0.0.0:7700"], "listen on 127.0.0.1 (--listen)"),
        (["--listen", "127.0.0.1:0", "--gateway", "0.0.0.0:8188"], "listen on 127.0.0.1 (--gateway)"),
    ],
)
def test_an_address_that_will_not_do_is_refused_at_once_by_its_option(
    given: list[str], told: str, tmp_path: Path
) -> None:
    ended = CliRunner().invoke(dev, [*given, "--data", str(tmp_path)])
    assert ended.exit_code == 1
    assert told in ended.output
    assert "Starting" not in ended.output


@pytest.mark.parametrize("wrong", ["version: 1\nrules: {", "version: 1\nrules:\n  - nonsense: 3\n", _WITHOUT_ADDRESS])
def test_rules_that_can_not_be_used_are_told_before_anything_is_started(tmp_path: Path, wrong: str) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(wrong)
    ended = CliRunner().invoke(dev, ["--rules", str(rules), "--data", str(tmp_path / "data")])
    assert ended.exit_code == 1
    assert f"the alert rules in {rules} can't be used:\n  " in ended.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "COMFYMESH_API_WORKERS",
            "x",
            "COMFYMESH_API_WORKERS: Input should be a valid integer, unable to parse string as an integer, not 'x'",
        ),
        ("COMFYMESH_NATS_REPLICAS", "9", "COMFYMESH_NATS_REPLICAS: Input should be less than or equal to 5, not '9'"),
        ("COMFYMESH_LOG_LEVEL", "loud", "COMFYMESH_LOG_LEVEL: Input should be 'debug', 'info'"),
    ],
)
def test_a_setting_that_will_not_do_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(dev, ["--data", str(tmp_path)])
    assert ended.exit_code == 1
    assert told in ended.output
    assert len(ended.output.splitlines()) == 1
