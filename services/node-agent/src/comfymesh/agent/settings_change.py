"""Which settings an agent can take over while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfymesh.agent.settings import AgentSettings

LIVE = frozenset(
    {
        "agent_backoff_seconds",
        "agent_drain_seconds",
        "agent_gpu_class",
        "agent_grace_seconds",
        "agent_instances",
        "agent_labels",
        "agent_look_ahead",
        "agent_max_artifact_bytes",
        "agent_memory_reserve_bytes",
        "agent_mount_roots",
        "agent_pool",
        "agent_pools",
        "agent_previews",
        "agent_quarantine_faults",
        "agent_quarantine_seconds",
        "agent_report_seconds",
        "agent_require_digests",
        "agent_stall_floor_seconds",
        "agent_stall_seconds",
        "agent_stall_unheard_seconds",
        "agent_start_seconds",
        "agent_stop_instances",
        "agent_unanswered_seconds",
        "agent_vram_bytes",
        "log_level",
    }
)
"""Settings that hold as soon as they are read. All others are those of connections and files that are open."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of new settings.

    Attributes:
        settings: Those that hold from now on.
        applied: Names of the variables that have another value now.
        waiting: Names of those whose new value holds only once the agent is started again.
    """

    settings: AgentSettings
    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def change(running: AgentSettings, new: AgentSettings) -> Change:
    """What becomes of `new` settings, read by an agent that runs with others."""
    names = sorted(type(running).model_fields)
    changed = [name for name in names if getattr(running, name) != getattr(new, name)]
    waiting = [name for name in changed if name not in LIVE]
    settings = new.model_copy(update={name: getattr(running, name) for name in waiting})
    return Change(settings, _variables(name for name in changed if name in LIVE), _variables(waiting))


def _variables(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"COMFYMESH_{name}".upper() for name in names)
