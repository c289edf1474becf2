from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.client import Artifact, LoadedArtifact, Result, Task, TaskState
from comfymesh.client.files import safe_name, save

HOSTILE = [
    "../../etc/passwd",
    "..\\..\\windows\\system32\\x.dll",
    "/etc/passwd",
    "C:\\x.png",
    "..",
    ".",
    "",
    "/",
    ".bashrc",
    "a/../..",
    "nul",
    "CON.png",
    "a\0b.png",
    "a\nb.png",
    "\x1b[31mred.png",
    "gnp.\u202eexe",
    "x" * 1000 + ".png",
    "\U0001f600" * 300,
    "file.png:stream",
    "\udc80.png",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_the_directory(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    path = save(b"data", directory, name)
    assert path.resolve().parent == directory.resolve()
    assert path.read_bytes() == b"data"


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_every_name_becomes_a_plain_file_name(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert Path(safe).name == safe == PureWindowsPath(safe).name
    assert len(safe.encode()) <= 200
    assert not safe.startswith(".")
    assert safe.isprintable()
    assert safe_name(safe) == safe


@pytest.mark.parametrize("name", ["ComfyUI_00001_.png", "büro 2.mp4", "a.tar.gz"])
def test_decent_names_are_kept(name: str) -> None:
    assert safe_name(name) == name


def test_other_files_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    assert save(b"one", tmp_path, "a.png").name == "a-1.png"
    assert save(b"two", tmp_path, "a.png").name == "a-2.png"
    assert (tmp_path / "a.png").read_bytes() == b"mine"


def test_the_same_bytes_are_not_saved_twice(tmp_path: Path) -> None:
    assert save(b"one", tmp_path, "a.png") == save(b"one", tmp_path, "a.png")
    assert len(list(tmp_path.iterdir())) == 1


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "a.png").symlink_to(target)
    assert save(b"one", tmp_path, "a.png").name == "a-1.png"
    assert not target.exists()


def test_artifacts_of_one_name_get_a_file_each(tmp_path: Path) -> None:
    artifacts = tuple(
        LoadedArtifact(name=f"tasks/x/artifacts/{n}", filename="a.png", data=str(n).encode()) for n in range(3)
    )
    result = Result(Task("tasks/x", TaskState.SUCCEEDED), artifacts)
    assert [path.name for path in result.save(tmp_path)] == ["a.png", "a-1.png", "a-2.png"]
    placed = [artifact.path for artifact in result.saved(tmp_path).artifacts]
    assert placed == [tmp_path / "a.png", tmp_path / "a-1.png", tmp_path / "a-2.png"]
    assert isinstance(artifacts[0], Artifact)


def test_bytes_are_not_in_reprs() -> None:
    assert "secret" not in repr(LoadedArtifact(name="n", filename="f", data=b"secret"))
