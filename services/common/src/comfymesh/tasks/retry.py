"""Whether a failed attempt is followed by another, and when: a decision as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from comfymesh.tasks.failures import MAX_BACK_OFF, POLICIES, FailureClass
from comfymesh.tasks.record import Failure, Key

SUSPECT = frozenset(
    {FailureClass.DEVICE_FAULT, FailureClass.INSTANCE_LOST, FailureClass.NODE_LOST, FailureClass.STALLED},
)
"""Failures that are nobody's fault once, and the graph's own when they follow it around."""

MAX_SUSPECT_FAILURES = 3

FREE_RELEASES = 2
"""So often a task may be handed back without a wait: nodes are stopped and upgraded."""

MAX_RELEASES = 20
"""A task that is handed back so often in a row is one that no node can begin."""

_RELEASE_BACK_OFF = 0.5
_MAX_RELEASE_BACK_OFF = 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Queue the task again, not to be started before `not_before` (seconds since the epoch)."""

    not_before: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task has failed for good; `reason` says why it is not tried again."""

    reason: str


def decide(key: Key, failures: Sequence[Failure], max_retries: int) -> Retry | GiveUp:
    """What follows the last of `failures`, which are all failed attempts of one task, oldest first."""
    last = failures[-1]
    policy = POLICIES[last.failure]
    same = sum(failure.failure is last.failure for failure in failures)
    suspects = sum(failure.failure in SUSPECT for failure in failures)
    limit = policy.max_failures + (max_retries if policy.caller_decides else 0)
    if last.failure in SUSPECT and suspects >= MAX_SUSPECT_FAILURES:
        return GiveUp(f"poison: {suspects} instances were lost while they ran it")
    if policy.max_failures and same >= limit:
        return GiveUp("not retried" if limit == 1 else f"failed {same} times in this way")
    return Retry(last.time + _back_off(key, policy.back_off.total_seconds(), same))


def after_release(key: Key, releases: int, now: float) -> Retry | GiveUp:
    """What follows when a task is handed back for the `releases`th time in a row before it has begun."""
    if releases >= MAX_RELEASES:
        return GiveUp(f"handed back {releases} times in a row")
    if releases <= FREE_RELEASES:
        return Retry(0.0)
    return Retry(now + _back_off(key, _RELEASE_BACK_OFF, releases - FREE_RELEASES, _MAX_RELEASE_BACK_OFF))


def _back_off(key: Key, first: float, count: int, longest: float = MAX_BACK_OFF.total_seconds()) -> float:
    """Doubles with each failure, is capped, and spreads tasks by up to a quarter without drawing lots."""
    wait = min(first * 2.0 ** (count - 1), longest)
    return wait * (1.0 + crc32(f"{key.task_id}/{count}".encode()) / 2**34)
