"""Containers that stand for machines: a control plane and hosts, with addresses of their own on their own network."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self

import pytest

_SECONDS = 240
_KEEP_LINES = 60
_OPEN = {"AUTH": "open", "ALLOW_OPEN": "true", "ALLOW_PLAINTEXT": "true"}


class CommandFailedError(AssertionError):
    """A command ended with another code than 0; the message is what it printed."""


def docker(*arguments: str, seconds: float = _SECONDS) -> str:
    """Run the docker client; answers what it prints.

    Raises:
        CommandFailedError: it failed.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=seconds)
    if done.returncode:
        raise CommandFailedError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where everything was to be installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require_mesh_image() -> str:
    """The image of the mesh; without it, or without a Docker Engine, the test can't be made."""
    image = os.environ.get("COMFYMESH_IMAGE", "comfymesh:dev")
    try:
        docker("image", "inspect", image)
    except (CommandFailedError, FileNotFoundError) as error:
        unavailable(f"no Docker Engine answers, or image {image} is missing (`make images`): {error}")
    return image


class Machine:
    """One container.

    Args:
        name: Its name on the network.
        container: The name of the container.
        network: The network that it is on.
    """

    def __init__(self, name: str, container: str, network: str) -> None:
        self.name = name
        self.container = container
        self._network = network

    def run(self, *command: str, seconds: float = _SECONDS) -> str:
        """Run a command there, as root; answers what it prints.

        Raises:
            CommandFailedError: it failed.
        """
        return docker("exec", "--user", "0", self.container, *command, seconds=seconds)

    def shell(self, script: str) -> str:
        """Run a shell script there, as root."""
        return self.run("sh", "-ec", script)

    def start(self, *command: str, user: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Start a command there and leave it running."""
        variables = [f"--env={name}={value}" for name, value in (environment or {}).items()]
        docker("exec", "--detach", *([f"--user={user}"] if user else []), *variables, self.container, *command)

    def copy(self, source: str, target: str) -> None:
        """Copy a file or a folder there."""
        docker("cp", source, f"{self.container}:{target}")

    def write(self, path: str, text: str) -> None:
        """Write a file there."""
        command = ["docker", "exec", "--user", "0", "--interactive", self.container, "tee", path]
        subprocess.run(command, input=text, text=True, capture_output=True, check=True)

    @property
    def address(self) -> str:
        """Its IP address, which this machine can reach."""
        found: dict[str, Any] = json.loads(
            docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", self.container)
        )
        return str(found[self._network]["IPAddress"])

    def cut_off(self) -> None:
        """Take it off the network."""
        docker("network", "disconnect", self._network, self.container)

    def connect(self) -> None:
        """Put it back on the network."""
        docker("network", "connect", "--alias", self.name, self._network, self.container)

    def kill(self) -> None:
        """Take its power away."""
        docker("kill", self.container)

    def power_on(self) -> None:
        """Start it again, with the disk it had."""
        docker("start", self.container)

    def log(self) -> str:
        """What its first process has written."""
        command = ["docker", "logs", self.container]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr


@dataclass
class Site:
    """Machines on a network of their own, from which nothing outside can be reached. Leaves nothing behind."""

    name: str = field(default_factory=lambda: f"comfymesh-test-{uuid.uuid4().hex[:8]}")
    machines: dict[str, Machine] = field(default_factory=dict)

    def __enter__(self) -> Self:
        docker("network", "create", "--internal", self.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._show_logs()
        if self.machines:
            docker("rm", "--force", "--volumes", *(machine.container for machine in self.machines.values()))
        docker("network", "rm", self.name)

    def add(
        self,
        name: str,
        image: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> Machine:
        """Start a machine."""
        container = f"{self.name}-{name}"
        variables = [f"--env={key}={value}" for key, value in (environment or {}).items()]
        network = ["--network", self.name, "--network-alias", name, "--hostname", name]
        self.machines[name] = Machine(name, container, self.name)
        docker("run", "--detach", "--name", container, *network, *variables, *options, image, *command)
        return self.machines[name]

    def add_host(self, name: str, image: str) -> Machine:
        """Start a machine that boots with systemd."""
        # What systemd needs of a container: its control groups, a /run of its own, and to be allowed to mount.
        rights = ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
        groups = ["--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"]
        memory = ["--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec"]
        return self.add(name, image, "/sbin/init", options=[*rights, *groups, *memory])

    def add_control_plane(self, image: str, configuration: str, environment: Mapping[str, str] | None = None) -> None:
        """Start NATS, a scheduler and an api.

        `configuration` is a folder with the server's nats.conf, which the image's user must be able to read.
        """
        defaults = {"COMFYMESH_NATS_URL": "nats://nats.internal:4222", "COMFYMESH_API_LISTEN": "0.0.0.0:7700"}
        # The network leads nowhere else.
        open_ = {f"COMFYMESH_API_{name}": value for name, value in _OPEN.items()}
        settings = defaults | open_ | dict(environment or {})
        nats = {"NATS_LISTEN": "0.0.0.0:4222", "NATS_MONITOR": "127.0.0.1:8222", "NATS_STORE": "/var/lib/nats"}
        options = [f"--volume={configuration}:/etc/nats:ro", "--network-alias=nats.internal"]
        self.add("nats", image, "nats-server", "-c", "/etc/nats/nats.conf", environment=nats, options=options)
        self.add("scheduler", image, "comfymesh-scheduler", environment=settings, options=["--init"])
        self.add("api", image, "comfymesh-api", environment=settings, options=["--init"])

    @property
    def target(self) -> str:
        """Where the api answers, from this machine."""
        return f"{self.machines['api'].address}:7700"

    def _show_logs(self) -> None:
        for machine in self.machines.values():
            lines = machine.log().splitlines()[-_KEEP_LINES:]
            print(f"--- {machine.name}", *lines, sep="\n")  # noqa: T201  # pytest shows it beside the failure
