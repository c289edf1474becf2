"""Free ports, as the programs of a mesh are given them."""

from __future__ import annotations

import errno
import socket

import pytest

from comfymesh.stack import mesh


def test_a_free_port_is_given_to_nobody_else_until_its_server_listens() -> None:
    port = mesh.free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use") as refused:
        other.bind(("127.0.0.1", port))
    assert refused.value.errno == errno.EADDRINUSE
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname() == ("127.0.0.1", port)


def test_two_programs_of_a_mesh_are_given_two_ports() -> None:
    assert len({mesh.free_port() for _ in range(100)}) == 100
