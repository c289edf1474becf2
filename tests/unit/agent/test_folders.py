"""Folders have names that only the node can make, the same in each of its lives."""

from __future__ import annotations

import stat
from itertools import combinations
from pathlib import Path

import pytest

from comfymesh.agent.domain.folders import Folders, hide, is_ours, without_ours
from comfymesh.agent.node_secret import node_secret
from comfymesh.tasks.record import Key

DIGEST = "ab" * 32


def names(folders: Folders) -> list[str]:
    return [
        folders.of_input("red", DIGEST, "a.png"),
        folders.of_input("blue", DIGEST, "a.png"),
        folders.of_input("red", "cd" * 32, "a.png"),
        folders.of_input("red", DIGEST, "b.png"),
        folders.of_attempt(Key("red", "one"), 1),
        folders.of_attempt(Key("red", "one"), 11),
        folders.of_attempt(Key("red", "one1"), 1),
        folders.of_attempt(Key("blue", "one"), 1),
    ]


def test_each_has_its_own_and_it_says_nothing_of_whose_it_is() -> None:
    for one, another in combinations(names(Folders(b"x")), 2):
        assert one != another
    for folder in names(Folders(b"x")):
        assert is_ours(folder)
        assert not any(word in folder for word in ("red", "blue", "one", DIGEST[:8]))


def test_names_hang_on_the_secret_alone() -> None:
    assert names(Folders(b"x")) == names(Folders(b"x"))
    assert set(names(Folders(b"x"))).isdisjoint(names(Folders(b"y")))


def test_later_lives_have_the_secret_of_the_first(tmp_path: Path) -> None:
    state = tmp_path / "not" / "yet"
    secret = node_secret(state)
    assert len(secret) == 32
    assert node_secret(state) == secret
    assert node_secret(tmp_path / "another") != secret
    (file,) = state.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_what_is_no_secret_is_replaced(tmp_path: Path, content: bytes) -> None:
    secret = node_secret(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert node_secret(tmp_path) not in {secret, content}
    assert node_secret(tmp_path) == node_secret(tmp_path)


def test_where_none_can_be_kept_this_life_has_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    assert len(node_secret(tmp_path / "file")) == 32
    assert "can't be kept" in caplog.text


def test_no_text_tells_a_name() -> None:
    one, two = names(Folders(b"x"))[0], names(Folders(b"x"))[4]
    text = f"no {one}/a.png in ['{two}', 'mine'], nor /srv/{two[:-3]}"
    assert hide(text) == "no comfymesh/.../a.png in ['comfymesh/...', 'mine'], nor /srv/comfymesh/..."
    assert hide("comfymesh/inputs of mine") == "comfymesh/inputs of mine"


def test_no_option_of_a_catalog_is_a_folder_of_ours() -> None:
    ours = ["comfymesh", "comfymesh/inputs", *names(Folders(b"x"))]
    catalog = {
        "Old": {
            "input": {"required": {"folder": [["comfymesh2", *ours, "mine"], {"default": "mine"}], "size": ["INT"]}}
        },
        "New": {"input": {"required": {"folder": ["COMBO", {"options": [*ours, "mine"]}]}}},
    }
    assert without_ours(catalog) == {
        "Old": {"input": {"required": {"folder": [["comfymesh2", "mine"], {"default": "mine"}], "size": ["INT"]}}},
        "New": {"input": {"required": {"folder": ["COMBO", {"options": ["mine"]}]}}},
    }
