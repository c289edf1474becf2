"""What is ours is removed, and nothing else, whatever links graphs left."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfymesh.agent.domain.folders import INPUTS, ROOT, Folders
from comfymesh.agent.runtimes.sweeping import plain, remove
from comfymesh.tasks.record import Key

ONE, TWO = (Folders(b"x").of_attempt(Key("default", task), 1) for task in ("one", "two"))
HEX = "0" * 32


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_a_folder_goes_with_all_that_is_in_it_and_its_neighbours_stay(tmp_path: Path) -> None:
    gone = written(tmp_path / ONE / "deep" / "a.png")
    kept = [written(tmp_path / TWO / "a.png"), written(tmp_path / "mine.png")]
    remove([tmp_path], [ONE, Folders(b"x").of_input("default", "ab" * 32, "never.png")])
    assert not (tmp_path / ONE).exists()
    assert not gone.exists()
    assert all(path.exists() for path in kept)


def test_all_that_is_ours_goes_at_once(tmp_path: Path) -> None:
    written(tmp_path / ONE / "a.png")
    mine = written(tmp_path / "mine.png")
    remove([tmp_path], [ROOT])
    assert list(tmp_path.iterdir()) == [mine]


def test_folders_of_ours_are_plain() -> None:
    ours = [ONE, Folders(b"y").of_input("lab", "ab" * 32, "x.png"), ROOT, INPUTS]
    assert plain(ours) == ours


@pytest.mark.parametrize(
    "folder",
    [
        *("", ".", "..", "comfymesh/", "comfymesh/..", "comfymesh/outputs", "/etc/x", "output", f"comfymesh/{HEX}"),
        *(f"comfymesh/inputs/../{HEX}", f"comfymesh//{HEX}", f"comfymesh/inputs/{HEX}/x", f"comfymesh/inputs/{HEX}\n"),
        *("comfymesh/inputs/" + "g" * 32, f"comfymesh/others/{HEX}"),
    ],
)
def test_anything_else_is_left_alone(folder: str) -> None:
    assert plain([folder]) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    precious = written(tmp_path / "elsewhere" / "precious")
    root = tmp_path / "output"
    (root / ONE).parent.mkdir(parents=True)
    (root / ONE).symlink_to(precious.parent)
    written(root / TWO / "a.png")
    (root / TWO / "link").symlink_to(precious.parent)
    remove([root], [ONE, TWO])
    assert precious.exists()
    assert list((root / ONE).parent.iterdir()) == []


@pytest.mark.parametrize("link", ["comfymesh", "comfymesh/outputs"])
def test_a_folder_of_ours_that_is_a_link_is_left_alone(tmp_path: Path, link: str) -> None:
    precious = written(tmp_path / "elsewhere" / ONE.rpartition("/")[2] / "precious")
    (tmp_path / "elsewhere" / "outputs").symlink_to(tmp_path / "elsewhere")
    root = tmp_path / "output"
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(precious.parent.parent)
    remove([root], [ONE])
    assert precious.exists()
