# ruff: noqa: INP001 - a program of its own, in no package
"""Keeps the accounts of a mesh's NATS server: one for the mesh, one for each node.

    python deploy/nats/accounts.py FOLDER --server nats.internal:4222 --add gpu-1 --add gpu-2
    python deploy/nats/accounts.py FOLDER --remove gpu-2

FOLDER then has accounts.conf for the server (guarded.conf includes it; it holds hashes only), mesh.env for api and
scheduler, and NODE.env for each new node, to be completed and given to its install.sh. Passwords are nowhere else: once
a file has been brought to where it belongs, remove it here. A node that is added again gets a new password.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from pathlib import Path

import bcrypt

from comfymesh import names
from comfymesh.bus.accounts import MESH, configuration

_COST = 4
"""The least: passwords of 256 random bits need no slow hash, and the server computes one at each connection."""


def main() -> None:
    """Change the accounts as asked."""
    flags = _flags()
    kept = flags.folder / "accounts.json"
    hashes: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    nodes = hashes.keys() - {MESH}
    if unknown := [node for node in flags.remove if node not in nodes]:
        sys.exit(f"{flags.folder} has no {', '.join(unknown)}; it has: {', '.join(sorted(nodes)) or 'no node'}")
    flags.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if MESH not in hashes:
        hashes[MESH] = _make(flags.folder / "mesh.env", MESH, flags.server, {"COMFYMESH_API_DESK": "true"})
    for node in flags.add:
        settings = {"COMFYMESH_AGENT_NODE": node, "COMFYMESH_AGENT_OWN_ACCOUNT": "true"}
        hashes[node] = _make(flags.folder / f"{node}.env", node, flags.server, settings)
    for node in flags.remove:
        hashes.pop(node, None)
    kept.write_text(json.dumps(hashes, indent=2))
    # As a whole or not at all: the server may read it at any time.
    fresh = flags.folder / "accounts.conf.new"
    fresh.write_text(configuration(hashes.pop(MESH), hashes))
    fresh.rename(flags.folder / "accounts.conf")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--server", default="127.0.0.1:4222", help="where the server listens, host:port")
    parser.add_argument("--add", action="append", default=[], metavar="NODE")
    parser.add_argument("--remove", action="append", default=[], metavar="NODE")
    flags = parser.parse_args()
    for node in flags.add:
        if not names.is_node_id(node) or node == MESH:
            sys.exit(f"{node!r} can't be a node's name: 1 to 63 characters out of a-z0-9-, and not {MESH!r}")
    return flags


def _make(path: Path, user: str, server: str, settings: dict[str, str]) -> str:
    """Write the settings of a new user; answers the hash of its password."""
    password = secrets.token_urlsafe(32)
    lines = {"COMFYMESH_NATS_URL": f"nats://{user}:{password}@{server}", **settings}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in lines.items())
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST, prefix=b"2a")).decode()


if __name__ == "__main__":
    main()
