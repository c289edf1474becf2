"""What the tests on a real Docker Engine share. Without an engine they are skipped, but never in CI."""

from __future__ import annotations

import contextlib
import os
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
        client = docker.DockerClient.from_env(timeout=60)
    except docker.errors.DockerException as error:
        unavailable(f"no Docker Engine answers: {error}")
    with contextlib.closing(client):
        yield client


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
