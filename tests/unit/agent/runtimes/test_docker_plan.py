from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from comfymesh.agent.runtimes.docker_plan import Owner, plan
from comfymesh.agent.runtimes.specs import DockerSpec

OWNER = Owner("gpu-host-1", "one")


def spec(**settings: Any) -> DockerSpec:
    return DockerSpec.model_validate({"name": "one", "image": "comfyui:1"} | settings)


def test_the_name_follows_from_node_and_instance() -> None:
    assert OWNER.name == "comfymesh-gpu-host-1-one"


def test_an_owner_knows_its_own_by_labels_and_not_by_name() -> None:
    other = Owner("gpu-host", "1-one")
    assert other.name == OWNER.name
    assert OWNER.owns(OWNER.labels | {"further": "label"})
    assert not OWNER.owns(other.labels)
    assert not OWNER.owns({})


def test_comfyui_listens_in_the_container_and_writes_on_its_volume() -> None:
    made = plan(spec(data_path="/data", container_port=9000, arguments=("--lowvram",)), OWNER)
    assert made.command == (
        *("--listen", "0.0.0.0"),
        *("--port", "9000"),
        *("--input-directory", "/data/input"),
        *("--output-directory", "/data/output"),
        *("--temp-directory", "/data"),
        "--lowvram",
    )


def test_a_command_takes_the_place_of_the_images_entry_point() -> None:
    assert plan(spec(), OWNER).entrypoint == ()
    assert plan(spec(command=("python", "main.py")), OWNER).entrypoint == ("python", "main.py")


def test_models_are_mounted_where_the_image_looks_for_them() -> None:
    assert plan(spec(), OWNER).models is None
    made = plan(spec(models_directory=Path("/srv/models"), models_path=PurePosixPath("/models")), OWNER)
    assert made.models == ("/srv/models", "/models")


def test_the_same_spec_gives_the_same_digest() -> None:
    assert plan(spec(), OWNER).labels == plan(spec(), OWNER).labels


@pytest.mark.parametrize(
    "change",
    [
        {"image": "comfyui:2"},
        {"arguments": ("--lowvram",)},
        {"environment": {"A": "1"}},
        {"memory_bytes": 2**30},
        {"cpus": 2},
        {"gpu_uuid": "GPU-1"},
        {"models_directory": "/srv/models"},
        {"port": 8188},
        {"user": "1000"},
        {"engine": "unix:///run/user/1000/docker.sock"},
    ],
)
def test_every_setting_of_the_container_is_in_its_digest(change: dict[str, Any]) -> None:
    assert plan(spec(**change), OWNER).digest != plan(spec(), OWNER).digest


@pytest.mark.parametrize("change", [{"pull": False}, {"recycle_prompts": 9}, {"pool": "big"}, {"cpus": None}])
def test_what_changes_nothing_of_the_container_is_not(change: dict[str, Any]) -> None:
    assert plan(spec(**change), OWNER).digest == plan(spec(), OWNER).digest
