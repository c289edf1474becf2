"""Names from outside never leave their folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfymesh.emulator.folders import Folders
from comfymesh.emulator.settings import Settings


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(Settings(tmp_path))
    made.prepare()
    return made


def test_counters_go_on_from_the_highest(folders: Folders) -> None:
    target = folders.target("mesh/tiny")
    (target.directory / "tiny_00007_.png").touch()
    (target.directory / "tiny-other_00009_.png").touch()
    again = folders.target("mesh/tiny")
    assert (again.name(0, ".png"), again.name(1, ".png")) == ("tiny_00008_.png", "tiny_00009_.png")
    assert again.subfolder == "mesh"


def test_a_prefix_without_a_directory_has_no_subfolder(folders: Folders) -> None:
    assert folders.target("tiny").subfolder == ""


@pytest.mark.parametrize("prefix", ["../x", "a/../../x", "/etc/x", "..", ""])
def test_a_prefix_cannot_leave_the_output_folder(folders: Folders, prefix: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        folders.target(prefix)


def test_an_annotation_chooses_the_folder(folders: Folders) -> None:
    (folders.roots["output"] / "made.png").touch()
    assert folders.find("made.png [output]") is not None
    assert folders.find("made.png") is None


def test_temporary_files_are_wiped_at_the_start(folders: Folders) -> None:
    (folders.roots["temp"] / "old.png").touch()
    (folders.roots["output"] / "kept.png").touch()
    folders.prepare()
    assert list(folders.roots["temp"].iterdir()) == []
    assert (folders.roots["output"] / "kept.png").exists()


@given(st.text("abc./\\", max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_leads_outside(folders: Folders, name: str) -> None:
    path = folders.inside("input", name)
    root = folders.roots["input"].resolve()
    assert path is None or path == root or root in path.parents
