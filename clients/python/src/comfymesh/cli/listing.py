"""Lists of what there may be very many of: no more is fetched than is shown."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

T = TypeVar("T")

_MOST_OF_A_PAGE = 1000

limited = click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many."
)
"""The option that says how many."""


def page_size(limit: int) -> int:
    """How many to fetch at a time, where so many are wanted at most."""
    return min(limit, _MOST_OF_A_PAGE)


async def at_most(limit: int, values: AsyncGenerator[T]) -> list[T]:
    """The first of these, so many at most."""
    found: list[T] = []
    async with aclosing(values):
        async for value in values:
            found.append(value)
            if len(found) == limit:
                break
    return found
