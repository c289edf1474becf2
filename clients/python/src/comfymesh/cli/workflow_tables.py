"""Tables and details of workflows, for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from comfymesh.cli.columns import PlainTable
from comfymesh.cli.text import age, clean, one_line, short_name
from comfymesh.client import ViolationSeverity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from comfymesh.client import Workflow, WorkflowInput, WorkflowReview, WorkflowVersion, WorkflowViolation

_STYLES = {ViolationSeverity.ERROR: "red", ViolationSeverity.WARNING: "yellow"}


def workflow_table(workflows: Sequence[Workflow], now: datetime) -> PlainTable:
    """Workflows, a line for each."""
    table = PlainTable("WORKFLOW", "VERSION", "NEWEST", "CHANGED", "NAME")
    for each in workflows:
        table.add_row(
            Text(short_name(each.name), style="dim" if each.delete_time else ""),
            str(each.default_version),
            str(each.latest_version),
            f"deleted {age(each.delete_time, now)}" if each.delete_time else age(each.update_time, now),
            one_line(each.display_name),
        )
    return table


def version_table(versions: Sequence[WorkflowVersion], default: int, now: datetime) -> PlainTable:
    """Versions of a workflow, a line for each."""
    table = PlainTable("VERSION", "MADE", "GRAPH", "")
    for each in versions:
        made = age(each.create_time, now)
        table.add_row(str(each.number), made, each.graph_digest[:12], "default" if each.number == default else "")
    return table


def workflow_details(workflow: Workflow, now: datetime) -> Table:
    """All about a workflow, but its graph and inputs."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("workflow", one_line(short_name(workflow.name)))
    if workflow.display_name:
        table.add_row("name", one_line(workflow.display_name))
    if workflow.description:
        table.add_row("description", clean(workflow.description))
    table.add_row("version", f"{workflow.default_version} of {workflow.latest_version}")
    for key, value in sorted(workflow.labels.items()):
        table.add_row("label", f"{one_line(key)}={one_line(value)}")
    table.add_row("changed", age(workflow.update_time, now))
    if workflow.delete_time is not None:
        table.add_row("deleted", age(workflow.delete_time, now))
    table.add_row("etag", one_line(workflow.etag))
    return table


def input_table(inputs: Sequence[WorkflowInput], graph_json: str) -> PlainTable:
    """Inputs, a line for each. What they have no default for is as the graph has it."""
    graph = json.loads(graph_json)
    table = PlainTable("INPUT", "KIND", "DEFAULT", "RANGE", "GOES TO", "WHAT")
    for each in inputs:
        table.add_row(
            one_line(each.name),
            each.kind.lower(),
            "required" if each.required else _shown(_held(graph, each) if each.default is None else each.default),
            _range(each),
            one_line(", ".join(each.targets)),
            one_line(each.description),
        )
    return table


def review_text(review: WorkflowReview) -> Text:
    """What is wrong, a few lines for each."""
    text = Text()
    for each in review.violations:
        text.append(each.severity.lower(), _STYLES.get(each.severity, "")).append(f" {_place(each)}: ", "bold")
        text.append(one_line(each.message))
        if each.nearest:
            text.append(f"; did you mean {' or '.join(one_line(name) for name in each.nearest)}?")
        if each.offering_instance_count:
            text.append(f" ({each.offering_instance_count} other instances have it)")
        if each.dropped_outputs:
            text.append(f" [drops output {', '.join(one_line(node) for node in each.dropped_outputs)}]", "dim")
        text.append("\n")
    if (left := review.violation_count - len(review.violations)) > 0:
        text.append(f"and {left} more\n")
    return text.append(_verdict(review))


def _place(each: WorkflowViolation) -> str:
    where = one_line(each.graph_node)
    if each.input:
        where += f".{one_line(each.input)}"
    if each.graph_node_class:
        where += f" ({one_line(each.graph_node_class)})"
    return f"input {one_line(each.workflow_input)} {where}".strip() if each.workflow_input else where or "graph"


def _verdict(review: WorkflowReview) -> str:
    if not review.instance_count:
        return "No instance has told what it offers, so only what needs none was checked."
    able = f"{review.able_instance_count} of {review.instance_count} instances can run it as a whole"
    return f"{able}; outputs: {', '.join(one_line(node) for node in review.runnable_outputs) or 'none'}."


def _held(graph: Any, each: WorkflowInput) -> object:  # noqa: ANN401  # as JSON has it
    """What the graph holds where an input goes."""
    graph_node, _, name = each.targets[0].partition(".")
    return graph.get(graph_node, {}).get("inputs", {}).get(name)


def _shown(value: object) -> str:
    return "-" if value is None else one_line(str(value))[:40]


def _range(each: WorkflowInput) -> str:
    if each.options:
        more = f" and {len(each.options) - 3} more" if len(each.options) > 3 else ""
        return one_line(", ".join(each.options[:3])) + more
    if each.minimum is None and each.maximum is None:
        return "-"
    return f"{'' if each.minimum is None else each.minimum}..{'' if each.maximum is None else each.maximum}"
