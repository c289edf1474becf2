"""Two meshes on one machine keep out of each other's way."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from comfymesh.stack.ownership import MeshNotReadyError, require_free, sole_user


def test_a_folder_is_used_by_one_mesh_at_a_time(tmp_path: Path) -> None:
    with sole_user(tmp_path / "data"):
        with pytest.raises(MeshNotReadyError, match=r"another mesh runs in .*--data"), sole_user(tmp_path / "data"):
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
