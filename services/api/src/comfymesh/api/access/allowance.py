"""What a tenant's graphs may name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comfymesh import patterns
from comfymesh.api.errors import RefusedError, Violation
from comfymesh.egress.guard import parse
from comfymesh.graphs import Graph
from comfymesh.tasks.record import Requirements
from comfymesh.v1 import tenant_pb2
from comfymesh.wire.v1 import spec_pb2

MOST_PATTERNS = 1000
_LONGEST_PATTERN = 256


def check(
    allowance: tenant_pb2.Allowance,
    graph: Graph,
    needed: Requirements,
    urls: Iterable[spec_pb2.UrlBinding] = (),
) -> None:
    """Refuse a graph that names what it may not, or whose inputs do.

    Raises:
        RefusedError: with every graph node and URL that does.
    """
    if allowance.node_classes or allowance.models or allowance.url_hosts:
        _refuse([*_classes(allowance, graph), *_models(allowance, graph, needed), *_hosts(allowance, urls)])


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


def fits(wanted: Iterable[str], name: str) -> bool:
    """Whether a name is allowed; no patterns allow everything."""
    found = tuple(wanted)
    return not found or patterns.fits(found, name)


def violations(field: str, given: Iterable[str]) -> Iterator[Violation]:
    """What is wrong with a list of patterns."""
    found = list(given)
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


def _hosts(allowance: tenant_pb2.Allowance, urls: Iterable[spec_pb2.UrlBinding]) -> Iterator[Violation]:
    hosts = [pattern.lower() for pattern in allowance.url_hosts]
    for binding in urls:
        host = parse(binding.url).host
        if not fits(hosts, host):
            yield Violation(f"task.inputs[{binding.graph_node}.{binding.input}]", f"host {host[:128]} is not allowed")


def _refuse(wrong: list[Violation]) -> None:
    if not wrong:
        return
    first = "; ".join(f"{violation.field}: {violation.description}" for violation in wrong[:3])
    more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    message = f"the graph names what this tenant may not use: {first}{more}; see `comfymesh quota show`"
    raise RefusedError("GRAPH_NOT_ALLOWED", message, {"violations": str(len(wrong))}, wrong)
