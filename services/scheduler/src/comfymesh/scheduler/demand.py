"""Tells nodes what waits for their pools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from comfymesh.bus import subjects
from comfymesh.scheduler.domain.demand import Demand, Told
from comfymesh.wire.v1 import pool_demand_pb2

_LOOK_SECONDS = 1.0
_REPEAT_LOOKS = 5
"""What has not changed is told again after so many looks: a node that hears nothing for long changes nothing."""

Publish = Callable[[str, bytes], Awaitable[None]]


async def tell_demand(look: Callable[[], Told], publish: Publish) -> None:
    """Look and tell, for ever.

    Args:
        look: What is to be told now: nothing, by a scheduler that does not act.
        publish: Sends; what is lost is told again.
    """
    before: Told = {}
    number = 0
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        number += 1
        told = look()
        for node, pools in told.items():
            if number % _REPEAT_LOOKS == 0 or pools or node not in before or before[node]:
                await publish(subjects.demand(node), _message(pools).SerializeToString())
        before = told


def _message(pools: Mapping[str, Demand]) -> pool_demand_pb2.PoolDemand:
    return pool_demand_pb2.PoolDemand(
        pools=[
            pool_demand_pb2.PoolDemand.Pool(
                name=name,
                waiting_count=demand.count,
                waiting_seconds=demand.seconds,
                oldest_seconds=demand.oldest,
                served=demand.served,
            )
            for name, demand in pools.items()
        ]
    )
