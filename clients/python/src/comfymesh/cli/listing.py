"""Lists: no more is fetched than is shown, and all are printed in one way."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

import click

from comfymesh.cli.jsonlines import line, plain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from comfymesh.cli.columns import PlainTable
    from comfymesh.cli.session import Session

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


def print_list(session: Session, found: Sequence[T], table: Callable[[Sequence[T]], PlainTable], none: str) -> None:
    """Prints a list: a line of JSON each for machines, a table for people.

    Args:
        session: Says for whom.
        found: What is in it.
        table: Makes the table.
        none: What people are told instead, on standard error, where there is nothing.
    """
    if session.as_json:
        for each in found:
            click.echo(line(plain(each)))
    elif found:
        session.show(table(found))
    else:
        click.echo(none, err=True)
