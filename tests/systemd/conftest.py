"""A bare Debian host under systemd, a control plane, and the bundle that is installed there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from comfymesh.testkit.containers import CommandFailedError, Machine, Site, docker

ROOT = Path(__file__).parents[2]
MESH_IMAGE = os.environ.get("COMFYMESH_IMAGE", "comfymesh:dev")
HOST_IMAGE = "comfymesh-test-host"
EMULATOR = {
    "name": "gpu0",
    "runtime": "process",
    "command": ["/usr/bin/python3", "-m", "comfymesh.emulator"],
    "environment": {"PYTHONPATH": "/srv/emulator/packages:/srv/emulator/own"},
}


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where everything was to be installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mesh_image() -> str:
    try:
        docker("image", "inspect", MESH_IMAGE)
    except (CommandFailedError, FileNotFoundError) as error:
        unavailable(f"no Docker Engine answers, or image {MESH_IMAGE} is missing (`make images`): {error}")
    return MESH_IMAGE


@pytest.fixture(scope="session")
def host_image(mesh_image: str) -> str:
    if os.geteuid() != 0 or shutil.which("chroot") is None:
        unavailable("a host's root file system can be made by root only")
    subprocess.run([ROOT / "tests/systemd/host_image.sh", HOST_IMAGE, mesh_image], check=True)
    return HOST_IMAGE


@pytest.fixture(scope="session")
def bundle(mesh_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make release` makes, unpacked; its version is 1.0."""
    out = tmp_path_factory.mktemp("release")
    settings = {**os.environ, "OUT": str(out), "VERSION": "1.0", "PYTHON": sys.executable}
    made = subprocess.run(
        ["deploy/host/release.sh"], cwd=ROOT, env=settings, check=True, capture_output=True, text=True
    )
    subprocess.run(["tar", "--extract", "--directory", out, "--file", made.stdout.strip()], check=True)
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return folder


def settings_of(nats_url: str, **more: str) -> str:
    """The agent's settings, as an operator writes them."""
    lines = {"COMFYMESH_NATS_URL": nats_url, "COMFYMESH_AGENT_INSTANCES": json.dumps([EMULATOR]), **more}
    return "".join(f"{name}={value}\n" for name, value in lines.items())


@pytest.fixture(scope="module")
def site(mesh_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nats")
    folder.chmod(0o755)
    shutil.copy(ROOT / "deploy/nats/single.conf", folder / "nats.conf")
    with Site() as site:
        site.add_control_plane(mesh_image, str(folder))
        yield site


@pytest.fixture(scope="module")
def host(site: Site, host_image: str, bundle: Path) -> Machine:
    """A host that has booted, with the bundle in /root/bundle and settings in /root/agent.env."""
    host = site.add_host("gpu-1", host_image)
    host.copy(str(bundle), "/root/bundle")
    host.write("/root/agent.env", settings_of("nats://nats:4222"))
    host.run("timeout", "60", "sh", "-c", "until systemctl is-system-running --wait; do sleep 0.1; done")
    return host
