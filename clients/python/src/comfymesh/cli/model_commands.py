"""Shows the model files of the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comfymesh.cli.columns import PlainTable
from comfymesh.cli.listing import print_list
from comfymesh.cli.options import with_session
from comfymesh.cli.text import one_line, short_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import Model

_HELP = """Show the model files of the fleet: where each is, and where it is in memory.

\b
Examples:
  comfymesh models
  comfymesh models lora --node gpu-host-3
  comfymesh models --resident --json
"""

_SHOWN = 3
"""Nodes and inputs that are named before the rest is counted."""


@click.command(help=_HELP, short_help="Show the model files of the fleet.")
@click.argument("part", default="", metavar="[TEXT]")
@click.option("--node", default="", metavar="NODE", help="Only models of this node.")
@click.option("--resident", is_flag=True, help="Only models in the memory of an instance.")
@with_session
def models(session: Session, part: str, node: str, resident: bool) -> None:  # noqa: D103, FBT001
    found = session.call(lambda client: client.models(part, node=node, resident_only=resident))
    print_list(session, found, model_table, "No such models; `comfymesh nodes` shows how many each instance has.")


def model_table(found: Sequence[Model]) -> PlainTable:
    """Models, a line each."""
    table = PlainTable("MODEL", "INSTANCES", "IN MEMORY", "ON", "NAMED BY")
    for model in found:
        on = sorted({short_name(place.node) for place in model.places})
        table.add_row(
            one_line(model.name),
            str(len(model.places)),
            str(model.resident_count) if model.resident_count else "-",
            _some(on),
            _some([one_line(name) for name in model.inputs]),
        )
    return table


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
