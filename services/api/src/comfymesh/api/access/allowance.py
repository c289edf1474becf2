"""What a tenant's graphs may name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from functools import lru_cache

from comfymesh.api.errors import RefusedError, Violation
from comfymesh.graphs import Graph
from comfymesh.tasks.record import Requirements
from comfymesh.v1 import tenant_pb2

MOST_PATTERNS = 1000
_LONGEST_PATTERN = 256


def check(allowance: tenant_pb2.Allowance, graph: Graph, needed: Requirements) -> None:
    """Refuse a graph that names what it may not.

    Raises:
        RefusedError: with every graph node that does.
    """
    if allowance.node_classes or allowance.models:
        _refuse([*_classes(allowance, graph), *_models(allowance, graph, needed)])


def check_again(allowance: tenant_pb2.Allowance, needed: Requirements) -> None:
    """Refuse a task, made of an earlier one, that needs what it may not.

    Raises:
        RefusedError: with every class and model.
    """
    wrong = [
        *(f"class {name}" for name in needed.node_classes if not fits(allowance.node_classes, name)),
        *(f"model {model.name}" for model in needed.models if not fits(allowance.models, model.name)),
    ]
    _refuse([Violation("name", f"{what} is not allowed") for what in wrong])


def fits(patterns: Iterable[str], name: str) -> bool:
    """Whether a name is allowed; no patterns allow everything."""
    wanted = tuple(patterns)
    return not wanted or _compiled(wanted).fullmatch(name) is not None


def violations(field: str, patterns: Iterable[str]) -> Iterator[Violation]:
    """What is wrong with a list of patterns."""
    found = list(patterns)
    if len(found) > MOST_PATTERNS:
        yield Violation(field, f"has {len(found)} entries, at most {MOST_PATTERNS} are allowed")
    for index, pattern in enumerate(found[:MOST_PATTERNS]):
        if not 1 <= len(pattern) <= _LONGEST_PATTERN:
            yield Violation(f"{field}[{index}]", f"must have 1 to {_LONGEST_PATTERN} characters")
        elif pattern.count("*") > 4:
            yield Violation(f"{field}[{index}]", "may hold `*` at most four times")


def _classes(allowance: tenant_pb2.Allowance, graph: Graph) -> Iterator[Violation]:
    for node in graph.nodes.values():
        if not fits(allowance.node_classes, node.class_type):
            yield Violation(f"task.graph_json[{node.id}]", f"class {node.class_type[:128]} is not allowed")


def _models(allowance: tenant_pb2.Allowance, graph: Graph, needed: Requirements) -> Iterator[Violation]:
    refused = {
        (model.node_class, model.input, model.name) for model in needed.models if not fits(allowance.models, model.name)
    }
    for node in graph.nodes.values() if refused else ():
        for name, value in node.inputs.items():
            if isinstance(value, str) and (node.class_type, name, value) in refused:
                field = f"task.graph_json[{node.id}].inputs.{name}"
                yield Violation(field, f"model {value[:128]} is not allowed")


def _refuse(wrong: list[Violation]) -> None:
    if not wrong:
        return
    first = "; ".join(f"{violation.field}: {violation.description}" for violation in wrong[:3])
    more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    message = f"the graph names what this tenant may not use: {first}{more}; see `comfymesh quota show`"
    raise RefusedError("GRAPH_NOT_ALLOWED", message, {"violations": str(len(wrong))}, wrong)


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # A bracket means itself: lists of characters are nothing that names of classes and files need.
    return re.compile("|".join(translate(pattern.replace("[", "[[]")) for pattern in patterns))
