"""What attempts wrote is removed, and nothing else, whatever links they left."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfymesh.agent.domain.own_outputs import folder_of
from comfymesh.agent.runtimes.sweeping import plain, remove


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_a_folder_goes_with_all_that_is_in_it_and_its_neighbours_stay(tmp_path: Path) -> None:
    gone = written(tmp_path / "comfymesh" / "t1-1" / "deep" / "a.png")
    kept = [written(tmp_path / "comfymesh" / "t1-10" / "a.png"), written(tmp_path / "mine.png")]
    remove([tmp_path], ["comfymesh/t1-1", "comfymesh/never-1"])
    assert not gone.parent.parent.exists()
    assert all(path.exists() for path in kept)


def test_the_folder_of_an_attempt_is_plain() -> None:
    assert plain([folder_of("t0680b66020bb425e92353ab1f42c361a", 12)]) != []


@pytest.mark.parametrize(
    "folder", ["", ".", "..", "comfymesh", "comfymesh/..", "comfymesh/../x", "/etc/x", "comfymesh/a/b", "comfymesh//a"]
)
def test_anything_else_is_left_alone(folder: str) -> None:
    assert plain([folder]) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    precious = written(tmp_path / "elsewhere" / "t1-1" / "precious")
    root = tmp_path / "output"
    (root / "comfymesh").mkdir(parents=True)
    (root / "comfymesh" / "t1-1").symlink_to(precious.parent)
    written(root / "comfymesh" / "t2-1" / "a.png")
    (root / "comfymesh" / "t2-1" / "link").symlink_to(precious.parent)
    remove([root], ["comfymesh/t1-1", "comfymesh/t2-1"])
    assert precious.exists()
    assert list((root / "comfymesh").iterdir()) == []


def test_a_folder_of_ours_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    precious = written(tmp_path / "elsewhere" / "t1-1" / "precious")
    root = tmp_path / "output"
    root.mkdir()
    (root / "comfymesh").symlink_to(precious.parent.parent)
    remove([root], ["comfymesh/t1-1"])
    assert precious.exists()
