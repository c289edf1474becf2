"""Checks of what instances of a pool run before they are offered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comfymesh.agent.checks.findings import Finding, failed, ok
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.warming import read_workflow


def check_warm_up(pools: Sequence[PoolSpec]) -> Iterator[Finding]:
    """Whether the workflow of each pool that has one can be read. Whether its ComfyUI takes it shows once that runs."""
    for pool in pools:
        if pool.warm_up is None:
            continue
        tried = f"read the warm-up workflow of pool {pool.name}, {pool.warm_up}"
        try:
            graph = read_workflow(pool.warm_up)
        except (OSError, ValueError) as error:
            mend = "export the workflow in API format to that file, and let the agent's user read it"
            yield failed("warm_up", tried, str(error), mend)
        else:
            yield ok("warm_up", tried, f"{len(graph)} graph nodes")
