"""From what a caller gives to what goes into the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from comfymesh.graphs import Hints
from comfymesh.v1.task_pb2 import InputValue
from comfymesh.v1.workflow_pb2 import WorkflowInput
from comfymesh.workflows.values import complaint

_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Binding:
    """What values come to.

    Attributes:
        values: What each input of a graph node gets, by graph node and input.
        origins: The workflow's input that leads to an input of a graph node, given or not.
        wrong: What is wrong with what was given: the name, and what, in words. All of it.
    """

    values: Mapping[tuple[str, str], InputValue] = field(default_factory=dict)
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)
    wrong: tuple[tuple[str, str], ...] = ()


def bind(specs: Iterable[WorkflowInput], given: Mapping[str, InputValue], *, complete: bool = True) -> Binding:
    """Find out what goes where.

    Values are handed on as they are, so integers keep all their digits and files stay what names them.

    Args:
        specs: The inputs of a workflow, checked.
        given: Values by the inputs' names.
        complete: Complain of required inputs that are not given.
    """
    known, hints = {spec.name: spec for spec in specs}, Hints()
    wrong = [(name, _unknown(name, known, hints)) for name in given if name not in known]
    places = {spec.name: [(each.graph_node, each.input) for each in spec.targets] for spec in known.values()}
    values = dict[tuple[str, str], InputValue]()
    for name, spec in known.items():
        if name not in given and spec.required:
            wrong += [(name, _missing(spec))] if complete else []
        elif name in given and (words := complaint(spec, given[name], hints)):
            wrong.append((name, words))
        elif name in given or spec.HasField("default_value"):
            values |= dict.fromkeys(places[name], given.get(name, spec.default_value))
    origins = {place: name for name, leads in places.items() for place in leads}
    return Binding(values, origins, tuple(wrong))


def _unknown(name: str, known: Mapping[str, WorkflowInput], hints: Hints) -> str:
    if near := hints.near(name, known):
        return f"is no input of the workflow; did you mean {' or '.join(near)}?"
    return f"is no input of the workflow; it has {', '.join(list(known)[:16]) or 'none'}"


def _missing(spec: WorkflowInput) -> str:
    about = f": {spec.description.splitlines()[0][:_LONGEST_NAME]}" if spec.description.strip() else ""
    return f"is required{about}"
