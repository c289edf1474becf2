"""A bare Debian host under systemd, a control plane, and the bundle that is installed there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfymesh.testkit.containers import Machine, Site, require_mesh_image, unavailable

ROOT = Path(__file__).parents[2]
HOST_IMAGE = "comfymesh-test-host"
EMULATOR = {
    "name": "gpu0",
    "runtime": "process",
    "command": ["/usr/bin/python3", "-m", "comfymesh.emulator"],
    "environment": {"PYTHONPATH": "/srv/emulator/packages:/srv/emulator/own"},
}


@pytest.fixture(scope="session")
def mesh_image() -> str:
    return require_mesh_image()


@pytest.fixture(scope="session")
def host_image(mesh_image: str) -> str:
    if os.geteuid() != 0 or shutil.which("chroot") is None:
        unavailable("a host's root file system can be made by root only")
    subprocess.run([ROOT / "tests/systemd/host_image.sh", HOST_IMAGE, mesh_image], check=True)
    return HOST_IMAGE


class Howto:
    """docs/howto/install-a-node.md: the tests run its commands, and count those that they have run."""

    def __init__(self) -> None:
        blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs/howto/install-a-node.md").read_text(), re.DOTALL)
        self.untried = [line for block in blocks for line in block.splitlines()]

    def on_host(self, host: Machine, command: str) -> str:
        """Run a command of the page as root on the host; answers what it prints."""
        self.untried.remove(f"# {command}")
        return host.shell(f"cd /root && {command}")

    def in_checkout(self, command: str, folder: Path) -> None:
        """Run a command of the page, with a folder of the test's in place of `accounts`."""
        self.untried.remove(f"$ {command}")
        python, script, _, *arguments = command.split()
        assert python == ".venv/bin/python"
        subprocess.run([sys.executable, ROOT / script, folder, *arguments], check=True)


@pytest.fixture(scope="module")
def howto() -> Howto:
    return Howto()


@pytest.fixture(scope="module")
def bundle(howto: Howto, mesh_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make release` makes; its version is 1.0."""
    howto.untried.remove("$ make release")
    plan = subprocess.run(["make", "-n", "release"], cwd=ROOT, capture_output=True, text=True, check=True)
    # A make that was called by another also says where it is.
    assert "deploy/host/release.sh" in plan.stdout.splitlines()
    settings = {"OUT": str(tmp_path_factory.mktemp("release")), "VERSION": "1.0", "WORKSPACE_PYTHON": sys.executable}
    made = subprocess.run(
        ["deploy/host/release.sh"], cwd=ROOT, env=os.environ | settings, check=True, capture_output=True, text=True
    )
    return Path(made.stdout.strip())


@pytest.fixture(scope="module")
def accounts(howto: Howto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The accounts of the mesh and of the host, and the configuration of a server that has them."""
    folder = tmp_path_factory.mktemp("accounts")
    howto.in_checkout(
        ".venv/bin/python deploy/nats/accounts.py accounts --server nats.internal:4222 --add gpu-1", folder
    )
    shutil.copy(ROOT / "deploy/nats/single.conf", folder)
    shutil.copy(ROOT / "deploy/nats/guarded.conf", folder / "nats.conf")
    folder.chmod(0o755)  # the server in its container is another user
    return folder


@pytest.fixture(scope="module")
def site(mesh_image: str, accounts: Path) -> Iterator[Site]:
    with Site() as site:
        lines = (accounts / "mesh.env").read_text().splitlines()
        # However long a busy machine takes to start the agent again, its node does not count as lost.
        lines.append("COMFYMESH_SCHEDULER_REPORT_TTL=60")
        site.add_control_plane(mesh_image, str(accounts), dict(line.split("=", 1) for line in lines))
        yield site


@pytest.fixture(scope="module")
def host(site: Site, host_image: str, accounts: Path, bundle: Path) -> Machine:
    """A host that has booted, with the bundle and the settings in /root."""
    host = site.add_host("gpu-1", host_image)
    host.copy(str(bundle), f"/root/{bundle.name}")
    instances = json.dumps([EMULATOR])
    host.write("/root/gpu-1.env", f"{(accounts / 'gpu-1.env').read_text()}COMFYMESH_AGENT_INSTANCES={instances}\n")
    host.run("timeout", "60", "sh", "-c", "until systemctl is-system-running --wait; do sleep 0.1; done")
    return host
