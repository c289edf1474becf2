"""What the tests on a real Docker Engine share. Without an engine they are skipped, but never in CI."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, NoReturn

import docker
import docker.errors
import pytest

from comfymesh.testkit.instances import DockerWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

IMAGE = os.environ.get("COMFYMESH_IMAGE", "comfymesh:dev")


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where everything was to be installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    try:
        knock(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
        client = docker.DockerClient.from_env(timeout=60)
    except (OSError, docker.errors.DockerException) as error:
        unavailable(f"no Docker Engine answers: {error}")
    with contextlib.closing(client):
        yield client


def knock(address: str) -> None:
    """Fail where nobody listens: the SDK would leave its socket open."""
    scheme, _, path = address.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(path)


@pytest.fixture(scope="session")
def compose_program() -> list[str]:
    """Compose v2 where the docker client has it, or else docker-compose."""
    if (docker_program := shutil.which("docker")) is not None:
        plugin = subprocess.run([docker_program, "compose", "version"], capture_output=True, check=False)
        if plugin.returncode == 0:
            return [docker_program, "compose"]
    if (program := shutil.which("docker-compose")) is None:
        unavailable("neither `docker compose` nor docker-compose is installed")
    return [program]


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    try:
        engine.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        unavailable(f"image {IMAGE} is missing; `make images` makes it")
    return IMAGE


@pytest.fixture
async def docker_world(engine: docker.DockerClient, image: str, tmp_path: Path) -> AsyncIterator[DockerWorld]:
    world = DockerWorld(engine, image, tmp_path)
    yield world
    await world.close()
