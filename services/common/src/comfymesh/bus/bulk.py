"""Many changes of the task log that somebody wants in one go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from comfymesh.runtime.background import all_of

AT_ONCE = 32
"""NATS confirms nothing, to nobody, before all that had come is stored, each record with a sync of its own: more at
once makes everybody else wait. Fewer wake everybody more often, which costs more CPU than it saves (docs/adr/0086)."""

Item = TypeVar("Item")
Made = TypeVar("Made")


async def each(items: Iterable[Item], change: Callable[[Item], Awaitable[Made]]) -> list[Made]:
    """What `change` answers for each of the items, in their order. Up to `AT_ONCE` are under way at a time.

    If one fails, or who waits is cancelled, the others are stopped.
    """
    left = enumerate(items)
    made = dict[int, Made]()

    async def in_turn() -> None:
        for place, item in left:
            made[place] = await change(item)

    # However many items there are, so many tasks of the event loop: a group may have a million.
    await all_of(*[in_turn() for _ in range(AT_ONCE)])
    return [made[place] for place in range(len(made))]
