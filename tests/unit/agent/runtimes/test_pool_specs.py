"""Pools as operators write them."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from comfymesh.agent.runtimes.kept_catalogs import KeptCatalog
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.runtimes.specs import DockerSpec, ProcessSpec
from comfymesh.agent.settings import AgentSettings

DOCKER = {"runtime": "docker", "image": "comfyui:1", "memory_bytes": 2**30}
PROCESS = {"runtime": "process", "command": ["comfyui"]}
GPUS = ["GPU-a", "GPU-b"]


def pool(**fields: Any) -> PoolSpec:
    return PoolSpec.model_validate({"name": "p", "instance": DOCKER, **fields})


def test_each_gpu_has_one_before_any_has_two() -> None:
    spec = pool(gpus=GPUS, instances_per_gpu=2)
    members = [member for member in spec.members if isinstance(member, DockerSpec)]
    assert [(member.name, member.gpu_uuid) for member in members] == [
        ("p-0", "GPU-a"),
        ("p-1", "GPU-b"),
        ("p-2", "GPU-a"),
        ("p-3", "GPU-b"),
    ]
    assert {member.pool for member in members} == {"p"}


def test_a_process_sees_its_gpu_alone() -> None:
    first, second = pool(instance={**PROCESS, "environment": {"A": "b"}}, gpus=GPUS).members
    assert isinstance(first, ProcessSpec)
    assert isinstance(second, ProcessSpec)
    assert first.environment == {"CUDA_VISIBLE_DEVICES": "GPU-a", "A": "b"}
    assert second.environment["CUDA_VISIBLE_DEVICES"] == "GPU-b"


@pytest.mark.parametrize(
    ("fields", "least", "size"),
    [
        ({}, 1, 1),
        ({"gpus": GPUS}, 2, 2),
        ({"gpus": GPUS, "min": 0}, 0, 2),
        ({"gpus": GPUS, "max": 1}, 1, 1),
        ({"min": 3}, 3, 3),
        ({"min": 0, "max": 4}, 0, 4),
    ],
)
def test_without_bounds_as_many_run_as_there_is_room_for(fields: dict[str, Any], least: int, size: int) -> None:
    spec = pool(**fields)
    assert (spec.least, spec.size, len(spec.members)) == (least, size, size)


def test_an_instance_takes_what_is_said_or_else_its_limit() -> None:
    assert pool().host_memory_bytes == 2**30
    assert pool(memory_bytes=5).host_memory_bytes == 5
    assert pool(instance=PROCESS).host_memory_bytes == 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"min": 2, "max": 1}, "`min` is 2, and `max` 1"),
        ({"gpus": GPUS, "max": 3}, "`max` is 3, and its GPUs have room for 2"),
        ({"instance": {**DOCKER, "name": "x", "port": 1}}, "each instance has its own name, port"),
        ({"instance": {**DOCKER, "imgae": "x"}}, "`instance` can't be read: imgae"),
        ({"instance": {"runtime": "docker"}}, "image: Field required"),
        ({"instance": {**DOCKER, "models_directory": "here"}}, "can't be read: here must be an absolute path"),
        ({"instance": {"runtime": "attach", "url": "http://127.0.0.1:1"}}, "what somebody else runs"),
        ({"instance": {"runtime": "podman"}}, "`instance` can't be read"),
        ({"name": "P!"}, "pattern"),
        ({"idle_seconds": 0}, "greater than or equal to 1"),
        ({"idles": 1}, "Extra inputs"),
    ],
)
def test_what_can_not_be_is_refused_in_words(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        pool(**fields)
    assert refused.value.errors()[0]["msg"].count("Value error") <= 1  # of pydantic's; none is within ours


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"agent_pools": [pool(), pool()]}, "two pools have one name: p"),
        (
            {"agent_pools": [pool()], "agent_instances": [{"name": "p-0", **PROCESS}]},
            "two instances have one name: p-0",
        ),
        ({"agent_pools": [pool()], "agent_require_digests": True}, "not pinned by a digest"),
    ],
)
def test_settings_with_pools_that_can_not_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AgentSettings.model_validate(settings)


def test_instances_of_pools_and_by_themselves_are_all_there() -> None:
    alone = {"name": "old", "runtime": "attach", "url": "http://127.0.0.1:1", "pool": "p"}
    settings = AgentSettings.model_validate({"agent_instances": [alone], "agent_pools": [pool(max=2)]})
    assert [spec.name for spec in settings.specs] == ["old", "p-0", "p-1"]
    assert [spec.pool for spec in settings.specs] == ["p", "p", "p"]


def test_another_pool_is_no_other_process() -> None:
    spec = DockerSpec(name="x", image="y")
    assert spec.digest == spec.model_copy(update={"pool": "p"}).digest


async def test_a_catalog_is_kept_under_the_settings_of_its_pool(tmp_path: Path) -> None:
    kept, other = KeptCatalog(pool(), tmp_path), KeptCatalog(pool(instance=PROCESS), tmp_path)
    assert await kept.read() is None
    await kept.write(b'{"A": {}}')
    assert await KeptCatalog(pool(labels={"a": "b"}), tmp_path).read() == b'{"A": {}}'
    assert await other.read() is None
    await other.write(b"{}")
    assert (await other.read(), await kept.read()) == (b"{}", None)


@pytest.mark.parametrize(
    "content", [b"", b"no zlib", zlib.compress(b"[]"), zlib.compress(b"{}")[:4], zlib.compress(b"[" * 60_000)]
)
async def test_a_kept_catalog_that_can_not_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    kept = KeptCatalog(pool(), tmp_path)
    await kept.write(b"{}")
    (file,) = (tmp_path / "catalogs").iterdir()
    file.write_bytes(content)
    assert await kept.read() is None


async def test_a_catalog_that_can_not_be_kept_costs_nothing_but_that(tmp_path: Path) -> None:
    (tmp_path / "catalogs").write_text("in the way")
    await KeptCatalog(pool(), tmp_path).write(b"{}")


async def test_a_catalog_is_outdated_once_model_files_have_come_or_gone(tmp_path: Path) -> None:
    models = tmp_path / "models" / "checkpoints" / "sdxl"
    models.mkdir(parents=True)
    spec = pool(instance={**DOCKER, "models_directory": str(tmp_path / "models")})
    kept = KeptCatalog(spec, tmp_path / "state")
    assert not await kept.outdated()
    await kept.write(b"{}")
    now = time.time()
    for folder in (models, *models.parents[:2]):
        os.utime(folder, (now - 60, now - 60))
    assert not await kept.outdated()
    os.utime(models, (now + 60, now + 60))
    assert await kept.outdated()
    assert not await KeptCatalog(pool(instance=DOCKER), tmp_path / "state").outdated()
