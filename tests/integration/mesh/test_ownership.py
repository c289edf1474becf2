"""Two meshes on one machine keep out of each other's way."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from comfymesh.stack import sources
from comfymesh.stack.ownership import MeshNotReadyError, require_free, sole_user


def test_a_folder_is_used_by_one_mesh_at_a_time(tmp_path: Path) -> None:
    with sole_user(tmp_path / "data"):
        with pytest.raises(MeshNotReadyError, match=r"runs in .*--data"), sole_user(tmp_path / "data"):
            pytest.fail("it was let in")
        with sole_user(tmp_path / "other"):
            pass
    with sole_user(tmp_path / "data"):
        pass


def test_an_address_that_somebody_listens_at_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(MeshNotReadyError, match=r"can't listen on .*--listen"):
            require_free(taken)
    require_free(taken)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "127.0.0.1:99999", "256.0.0.1:80"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(MeshNotReadyError, match="can't listen on"):
        require_free(address)


def test_what_has_inherited_the_lock_holds_it(tmp_path: Path) -> None:
    with sole_user(tmp_path) as lock:
        heir = subprocess.Popen(["sleep", "600"], pass_fds=[lock])
    try:
        with pytest.raises(MeshNotReadyError), sole_user(tmp_path):
            pytest.fail("it was let in")
    finally:
        heir.kill()
        heir.wait()
    with sole_user(tmp_path):
        pass


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"COMFYUI_URL": "http://127.0.0.1:9"}, "no ComfyUI answers at COMFYUI_URL=http://127.0.0.1:9"),
        ({"COMFYUI_URL": "127.0.0.1:8188"}, "correct the address, such as http://"),
        ({"COMFYUI_DIR": "/nonexistent"}, "it has no main.py"),
    ],
)
def test_a_comfyui_that_is_not_there_is_told_before_anything_is_started(environment: dict[str, str], says: str) -> None:
    with pytest.raises(MeshNotReadyError, match=re.escape(says)):
        sources.require(environment)
