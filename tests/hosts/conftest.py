"""A control plane and three GPU hosts, each a container with an address of its own; permissions on NATS are on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from comfymesh.testkit.containers import Machine, Site, require_mesh_image

DEPLOY = Path(__file__).parents[2] / "deploy" / "nats"
HOSTS = ("gpu-0", "gpu-1", "gpu-2")
LOG = "/var/lib/comfymesh/agent.log"
EMULATOR = {"name": "comfyui-0", "runtime": "process", "command": ["comfymesh-emulator"]}
AGENT = {
    "COMFYMESH_AGENT_INSTANCES": json.dumps([EMULATOR]),
    "COMFYMESH_AGENT_STATE_DIRECTORY": "/var/lib/comfymesh/agent",
    "COMFYMESH_AGENT_DRAIN_SECONDS": "1",
}


@dataclass(frozen=True)
class Fleet:
    """The mesh of a test.

    Attributes:
        site: Its machines.
        settings: Of each user of NATS, as `accounts.py` wrote them.
    """

    site: Site
    settings: dict[str, dict[str, str]]

    @property
    def nats_url(self) -> str:
        """Where the log is, from this machine."""
        credentials = self.settings["mesh"]["COMFYMESH_NATS_URL"].rpartition("@")[0]
        return f"{credentials}@{self.site.machines['nats'].address}:4222"

    def host(self, name: str) -> Machine:
        return self.site.machines[name]

    def start_agent(self, name: str, version: str) -> None:
        """Start an agent; its version is a label of the node."""
        labels = {"COMFYMESH_AGENT_LABELS": json.dumps({"version": version})}
        command = f"echo $$ > agent.pid; exec comfymesh-agent 2>> {LOG}"
        self.host(name).start("sh", "-c", command, environment={**AGENT, **self.settings[name], **labels})

    def stop_agent(self, name: str) -> None:
        """Ask an agent to end, and wait until it has."""
        self.host(name).shell(
            "kill -TERM $(cat agent.pid); while kill -0 $(cat agent.pid) 2> /dev/null; do sleep 0.1; done"
        )

    def log(self, name: str) -> str:
        """What a process of ours has written."""
        return self.host(name).run("cat", LOG) if name in HOSTS else self.host(name).log()


def read_settings(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    image = require_mesh_image()
    nodes = [argument for host in HOSTS for argument in ("--add", host)]
    command = [sys.executable, DEPLOY / "accounts.py", tmp_path / "made", "--server", "nats.internal:4222", *nodes]
    subprocess.run(command, check=True)
    settings = {path.stem: read_settings(path) for path in (tmp_path / "made").glob("*.env")}
    configuration = tmp_path / "nats"
    configuration.mkdir()
    for source, name in ((DEPLOY / "single.conf", "single.conf"), (DEPLOY / "guarded.conf", "nats.conf")):
        shutil.copy(source, configuration / name)
    shutil.copy(tmp_path / "made" / "accounts.conf", configuration)
    for path in (tmp_path.parent, tmp_path, configuration):
        path.chmod(0o755)
    with Site() as site:
        site.add_control_plane(image, str(configuration), settings["mesh"])
        for host in HOSTS:
            site.add(host, image, "sleep", "infinity", options=["--init"])
        yield Fleet(site, settings)
