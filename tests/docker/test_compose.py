"""The compose file, really brought up: a graph goes in at the published port, a picture comes out."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from comfymesh.stack.mesh import free_port
from comfymesh.testkit.compose import Project, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
GRAPHS = ROOT / "tests" / "data" / "comfyui" / "workflows"
SERVICES = ("nats", "api", "scheduler", "notifier", "agent", "emulator")
PNG = b"\x89PNG\r\n\x1a\n"
UP, HOW_IT_IS, *_ = blocks()
_START_SECONDS = 120
"""Of the api, on a machine with much else to do."""


def container(project: Project, engine: docker.DockerClient, service: str) -> Any:
    """The container of a service, as it is now."""
    (found,) = engine.containers.list(all=True, filters={"label": project.label(service)})
    return found


def until_healthy(project: Project, engine: docker.DockerClient, service: str) -> None:
    """Wait until a service is healthy."""
    while (how := container(project, engine, service).attrs["State"]["Health"]["Status"]) != "healthy":
        assert how in {"starting", "unhealthy"}
        time.sleep(0.5)


def until_ready(project: Project) -> None:
    """Wait until the api answers, and an instance says that it can take work."""
    with grpc.insecure_channel(project.target) as channel:
        grpc.channel_ready_future(channel).result(timeout=_START_SECONDS)
    while "READY" not in project.call("nodes", "--json").upper():
        time.sleep(0.2)


@pytest.fixture(scope="module")
def project(image: str, compose_program: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    port = free_port()
    settings = {"COMFYMESH_PORT": str(port), "COMFYMESH_IMAGE": image}
    name = f"comfymesh-test-{uuid.uuid4().hex[:8]}"
    project = Project(name, compose_program, settings, f"127.0.0.1:{port}")
    folder = tmp_path_factory.mktemp("checkout")
    try:
        project.follow(UP, folder)
        assert (folder / "out" / "text-to-image_00001_.png").read_bytes().startswith(PNG)
        yield project
    except BaseException:
        with contextlib.suppress(AssertionError):
            print(project.compose("logs", "--no-color", "--tail=100"))  # noqa: T201 - pytest shows it beside the failure
        raise
    finally:
        project.end(lambda: project.compose("down", "--volumes", "--timeout", "20"))


def test_a_picture_comes_out_of_the_mesh(project: Project, tmp_path: Path) -> None:
    until_ready(project)
    project.call("run", str(GRAPHS / "04-tiny-txt2img.json"), "--out", str(tmp_path))
    pictures = list(tmp_path.iterdir())
    assert pictures
    assert all(picture.read_bytes().startswith(PNG) for picture in pictures)


def test_every_service_becomes_healthy(project: Project, engine: docker.DockerClient, tmp_path: Path) -> None:
    for service in SERVICES:
        until_healthy(project, engine, service)
    assert project.follow(HOW_IT_IS, tmp_path) == "well\n"


def test_the_mesh_goes_on_after_its_log_was_away(project: Project, engine: docker.DockerClient, tmp_path: Path) -> None:
    until_ready(project)
    project.compose("stop", "nats")
    for service in ("scheduler", "notifier", "agent"):
        while (check := container(project, engine, service).exec_run(["comfymesh-health"])).exit_code == 0:
            time.sleep(0.5)
        assert b"has not worked for" in check.output, service
    project.compose("start", "nats")
    project.call("run", str(GRAPHS / "01-empty-save.json"), "--out", str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_task_that_fails_is_told(project: Project) -> None:
    until_ready(project)
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
        if (ports := container(project, engine, service).attrs["NetworkSettings"]["Ports"])
    }
    assert {service: bindings for service, bindings in published.items() if bindings} == {
        "api": [{"HostIp": "127.0.0.1", "HostPort": project.target.partition(":")[2]}]
    }


def test_every_service_has_limits_no_privileges_and_no_root(project: Project, engine: docker.DockerClient) -> None:
    for service in SERVICES:
        found = container(project, engine, service)
        host = found.attrs["HostConfig"]
        assert host["Memory"] > 0, service
        assert (host["CapDrop"], host["ReadonlyRootfs"], host["Init"]) == (["ALL"], True, True), service
        assert found.exec_run(["id", "-u"]).output.strip() == b"10001", service


def test_every_service_stops_when_asked_and_without_a_traceback(project: Project, engine: docker.DockerClient) -> None:
    until_ready(project)
    project.compose("stop")
    for service in SERVICES:
        found = container(project, engine, service)
        assert found.attrs["State"]["ExitCode"] == 0, service
        assert b"Traceback" not in found.logs(), service
    project.compose("start")
    until_ready(project)
