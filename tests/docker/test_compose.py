"""The compose file, really brought up: a graph goes in at the published port, a picture comes out."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from comfymesh.testkit.instances import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
GRAPHS = ROOT / "tests" / "data" / "comfyui" / "workflows"
SERVICES = ("nats", "api", "scheduler", "notifier", "agent", "emulator")
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Project:
    """One mesh in containers, and a caller of it."""

    name: str
    port: int
    image: str
    program: list[str]

    def compose(self, *arguments: str) -> str:
        """Run Compose; return what it prints."""
        settings = {"COMFYMESH_PORT": str(self.port), "COMFYMESH_IMAGE": self.image}
        command = [*self.program, "--project-name", self.name, "--file", str(ROOT / "compose.yaml"), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | settings, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, engine: docker.DockerClient, service: str) -> Any:
        """Return the container of a service, as it is now."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        (container,) = engine.containers.list(all=True, filters={"label": labels})
        return container

    def call(self, *arguments: str) -> str:
        """Run the CLI against the published port; return what it prints."""
        command = [sys.executable, "-m", "comfymesh.cli", *arguments]
        address = ["--target", f"127.0.0.1:{self.port}", "--connect-timeout", "60"]
        done = subprocess.run([*command, *address], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def until_ready(self) -> None:
        """Wait until an instance says that it can take work."""
        while "READY" not in self.call("nodes", "--json").upper():
            time.sleep(0.2)


@pytest.fixture(scope="module")
def project(image: str, compose_program: list[str]) -> Iterator[Project]:
    project = Project(f"comfymesh-test-{uuid.uuid4().hex[:8]}", free_port(), image, compose_program)
    try:
        project.compose("up", "--detach")
        yield project
    except BaseException:
        with contextlib.suppress(AssertionError):
            print(project.compose("logs", "--no-color", "--tail=100"))  # noqa: T201 - pytest shows it beside the failure
        raise
    finally:
        project.compose("down", "--volumes", "--timeout", "20")


def test_a_picture_comes_out_of_the_mesh(project: Project, tmp_path: Path) -> None:
    project.until_ready()
    project.call("run", str(GRAPHS / "04-tiny-txt2img.json"), "--out", str(tmp_path))
    pictures = list(tmp_path.iterdir())
    assert pictures
    assert all(picture.read_bytes().startswith(PNG) for picture in pictures)


def test_the_mesh_goes_on_after_its_log_was_restarted(project: Project, tmp_path: Path) -> None:
    project.until_ready()
    project.compose("restart", "nats")
    project.call("run", str(GRAPHS / "01-empty-save.json"), "--out", str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_task_that_fails_is_told(project: Project) -> None:
    project.until_ready()
    failing = str(GRAPHS / "21-probe-raise-runtime.json")
    project.call("submit", failing)
    while "task-failed" not in project.call("alerts", "history", "--json"):
        time.sleep(0.2)


def test_only_the_api_is_published_and_on_the_loopback_interface_alone(
    project: Project, engine: docker.DockerClient
) -> None:
    published = {
        service: [binding for bindings in ports.values() if bindings for binding in bindings]
        for service in SERVICES
        if (ports := project.container(engine, service).attrs["NetworkSettings"]["Ports"])
    }
    assert {service: bindings for service, bindings in published.items() if bindings} == {
        "api": [{"HostIp": "127.0.0.1", "HostPort": str(project.port)}]
    }


def test_every_service_has_limits_no_privileges_and_no_root(project: Project, engine: docker.DockerClient) -> None:
    for service in SERVICES:
        container = project.container(engine, service)
        host = container.attrs["HostConfig"]
        assert host["Memory"] > 0, service
        assert (host["CapDrop"], host["ReadonlyRootfs"], host["Init"]) == (["ALL"], True, True), service
        assert container.exec_run(["id", "-u"]).output.strip() == b"10001", service


def test_every_service_stops_when_asked_and_without_a_traceback(project: Project, engine: docker.DockerClient) -> None:
    project.until_ready()
    project.compose("stop")
    for service in SERVICES:
        container = project.container(engine, service)
        assert container.attrs["State"]["ExitCode"] == 0, service
        assert b"Traceback" not in container.logs(), service
    project.compose("start")
    project.until_ready()
