from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from comfymesh.stack.command import dev


def test_a_folder_that_can_not_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = CliRunner().invoke(dev, ["--data", str(tmp_path / "file" / "data")])
    assert ended.exit_code == 1
    assert "can't be a folder for data: Not a directory" in ended.output
