"""Settings that give one GPU to several who could never all have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.runtimes.specs import DockerSpec, InstanceSpec

_ALLOW = "give them other GPUs, or set `shared`"


def gpu_clashes(instances: Sequence[InstanceSpec], pools: Sequence[PoolSpec]) -> Iterator[str]:
    """What is wrong, in words. Pools that are not shared use a GPU by turns, which needs one that comes free."""
    taken = {spec.gpu_uuid: spec.name for spec in instances if isinstance(spec, DockerSpec) and spec.gpu_uuid}
    for pool in pools:
        if not pool.shared and (both := [gpu for gpu in pool.gpus if gpu in taken]):
            yield (
                f"pool {pool.name} can never use {both[0]}: instance {taken[both[0]]} always runs there;"
                f" {_ALLOW} on the pool"
            )
    for one, other in combinations(pools, 2):
        common = set(one.gpus) & set(other.gpus)
        if common and not (one.shared and other.shared) and not _have_room(one, other):
            yield (
                f"pools {one.name} and {other.name} both name {min(common)}, and what they always run leaves no GPU for"
                f" the other; lower `min`, {_ALLOW} on both"
            )


def _have_room(one: PoolSpec, other: PoolSpec) -> bool:
    """Whether each can run what it always runs, and one at least, while the other runs what that always runs."""
    gpus = len({*one.gpus, *other.gpus})
    first, second = (-(-pool.least // pool.instances_per_gpu) for pool in (one, other))
    return max(first, 1) + second <= gpus and first + max(second, 1) <= gpus
