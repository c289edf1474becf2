"""How patiently each instance is looked after, from the settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from comfymesh.agent.comfyui.pulse import Pace, Patience
from comfymesh.agent.domain.ladder import Limits
from comfymesh.agent.domain.lives import Endurance
from comfymesh.agent.instance import Care, Keep
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.runtimes.specs import AttachSpec, DockerSpec, InstanceSpec, ProcessSpec
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.warming import Warming, preloads_of
from comfymesh.tasks.record import ModelFile

_LOOK_SECONDS = 2.0
_STRANGER_SECONDS = 3600.0
_ROOM = 0.9
_ONE_GPU = re.compile(r"(GPU|MIG)-[0-9a-zA-Z/-]+")


def _nothing() -> Sequence[ModelFile]:
    return ()


def care_of(
    spec: InstanceSpec,
    settings: AgentSettings,
    pool: PoolSpec | None = None,
    keep: Keep | None = None,
    asked: Callable[[], Sequence[ModelFile]] = _nothing,
) -> Care:
    """How one instance is looked after, of a pool or by itself; `asked` answers what it loads ahead of work."""
    return Care(
        limits=Limits(
            look=min(_LOOK_SECONDS, settings.agent_grace_seconds),
            unanswered=settings.agent_unanswered_seconds,
            grace=settings.agent_grace_seconds,
            idle=settings.agent_grace_seconds,
            stranger=None if isinstance(spec, AttachSpec) else _STRANGER_SECONDS,
            memory_bytes=_memory_limit(spec),
            prompts=spec.recycle_prompts,
        ),
        endurance=Endurance(
            last=settings.agent_backoff_seconds,
            faults=settings.agent_quarantine_faults,
            quarantine=settings.agent_quarantine_seconds,
        ),
        start_seconds=settings.agent_start_seconds,
        gpu_uuid=gpu_of(spec),
        pool=spec.pool or "",
        labels=dict(pool.labels) if pool else {},
        digest=spec.digest,
        warm_up=Warming(pool, asked, settings.agent_start_seconds),
        keep=keep,
        preload=lambda: tuple(dict.fromkeys((*preloads_of(pool), *asked()))),
    )


def gpu_of(spec: InstanceSpec) -> str | None:
    """UUID of the GPU that an instance is bound to; None if the settings do not say."""
    if isinstance(spec, DockerSpec):
        return spec.gpu_uuid
    visible = spec.environment.get("CUDA_VISIBLE_DEVICES", "") if isinstance(spec, ProcessSpec) else ""
    return visible if _ONE_GPU.fullmatch(visible) else None


def pace_of(settings: AgentSettings) -> Pace:
    """What is known of how long graph nodes are silent: nothing yet."""
    return Pace(patience_of(settings))


def patience_of(settings: AgentSettings) -> Patience:
    """How long graph nodes may be silent."""
    return Patience(
        unknown=settings.agent_stall_seconds,
        floor=settings.agent_stall_floor_seconds,
        unheard=settings.agent_stall_unheard_seconds,
    )


def _memory_limit(spec: InstanceSpec) -> int | None:
    """Before a container reaches its limit, and is killed there in the middle of a prompt, it is started afresh."""
    if spec.recycle_memory_bytes is None and isinstance(spec, DockerSpec) and spec.memory_bytes is not None:
        return int(_ROOM * spec.memory_bytes)
    return spec.recycle_memory_bytes
