"""Whether any instance of the fleet could run a graph, and if none could, why. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from grpc import StatusCode

from comfymesh import graphs
from comfymesh.api.errors import RefusedError, Violation
from comfymesh.api.fleet import Offer
from comfymesh.graphs import Graph, Validation, ViolationType
from comfymesh.tasks.record import ModelFile, Requirements

_MOST_OFFERS_NAMED = 20

_Part = tuple[str, str, str]
"""What a graph needs: a class, and the value of one of its inputs where it is that which is lacking."""


def check(graph: Graph, offers: Sequence[Offer], *, allow_partial: bool, settling: bool) -> Validation:
    """The graph as the first instance that could run it sees it.

    Args:
        graph: The graph, inputs set.
        offers: What the fleet offers. Instances that do not serve right now count: they may come back.
        allow_partial: Whether invalid outputs may be left out.
        settling: Whether nodes may still be on their way, since this process has just started.

    Raises:
        RefusedError: no instance could run it.
    """
    validations = _validations(graph, offers)
    if not validations:
        raise _nothing_known(offers, settling=settling)
    for validation in validations.values():
        if not validation.violations or (allow_partial and validation.is_partial):
            return validation
    best = min(validations.values(), key=lambda validation: len(validation.violations))
    if best.is_partial:
        raise _refused("PARTIAL_OUTPUTS", "some outputs of the graph can't run and would be left out", best)
    if _each_part_exists(validations):
        raise _scattered(validations)
    raise _refused("INVALID_WORKFLOW", "ComfyUI would refuse the graph", best)


def requirements(validation: Validation) -> Requirements:
    """What an instance must offer to run the graph."""
    nodes = validation.graph.nodes.values()
    return Requirements(
        node_classes=tuple(sorted({node.class_type for node in nodes})),
        models=tuple(
            sorted(
                {
                    ModelFile(model.class_type, model.input_name, model.name)
                    for model in validation.models
                    if model.known
                },
                key=lambda model: (model.node_class, model.input, model.name),
            )
        ),
    )


def _validations(graph: Graph, offers: Sequence[Offer]) -> dict[str, Validation]:
    """A validation for each distinct catalog, by the name of the first instance that offers it."""
    found: dict[int, tuple[str, Validation]] = {}
    for offer in offers:
        if offer.catalog is not None and id(offer.catalog) not in found:
            found[id(offer.catalog)] = (f"{offer.node}/{offer.instance}", graphs.validate(graph, offer.catalog))
    return dict(found.values())


def _each_part_exists(validations: dict[str, Validation]) -> bool:
    """Whether instances lack only classes or models, and each of those is somewhere: just not all in one place."""
    known = [lack for validation in validations.values() if (lack := _lacking(validation)) is not None]
    if len(known) < 2 or len(known) < len(validations):
        return False
    # Where a class is absent, so is every model that only it could load.
    return all(any(not {part, _the_class(part)} & lack for lack in known) for part in set.union(*known))


def _lacking(validation: Validation) -> set[_Part] | None:
    """What the instance lacks; None where something is wrong that no other instance could mend."""
    absent = {ViolationType.MISSING_NODE_TYPE, ViolationType.VALUE_NOT_IN_LIST}
    if any(violation.type not in absent for violation in validation.violations):
        return None
    return {
        (v.class_type, v.input_name or "", str(v.extra_info.get("received_value", ""))) for v in validation.violations
    }


def _the_class(part: _Part) -> _Part:
    return (part[0], "", "")


def _nothing_known(offers: Sequence[Offer], *, settling: bool) -> RefusedError:
    named = {f"{offer.node}/{offer.instance}": offer.trouble or "starting" for offer in offers[:_MOST_OFFERS_NAMED]}
    what = "; ".join(f"{name} is {trouble}" for name, trouble in named.items()) or "no node has reported"
    wait = settling or bool(offers)
    advice = "try again in a moment" if wait else "start an agent on a GPU host"
    return RefusedError(
        "NO_FEASIBLE_NODE",
        f"no instance has told what it offers, so the graph can't be checked ({what}); {advice}",
        named,
        retry_after=2.0 if wait else None,
        code=StatusCode.UNAVAILABLE if wait else None,
    )


def _scattered(validations: dict[str, Validation]) -> RefusedError:
    lacking = {
        name: ", ".join(sorted(violation.details or violation.message for violation in validation.violations))
        for name, validation in list(validations.items())[:_MOST_OFFERS_NAMED]
    }
    what = "; ".join(f"{name} lacks: {lack}" for name, lack in lacking.items())
    return RefusedError(
        "NO_FEASIBLE_NODE",
        f"no node has everything that the graph needs ({what}); bring it together on one node",
        lacking,
    )


def _refused(reason: str, what: str, validation: Validation) -> RefusedError:
    violations = [_violation(violation) for violation in validation.violations]
    first = "; ".join(f"{v.field}: {v.description}" for v in violations[:3])
    more = f"; and {len(violations) - 3} more" if len(violations) > 3 else ""
    metadata = {"violations": str(len(violations))}
    return RefusedError(reason, f"{what}: {first}{more}", metadata, violations)


def _violation(violation: graphs.Violation) -> Violation:
    path = "task.graph_json"
    if violation.node_id is not None:
        path += f"[{violation.node_id}]"
    if violation.input_name is not None:
        path += f".inputs.{violation.input_name}"
    text = f"{violation.message}: {violation.details}" if violation.details else violation.message
    if violation.class_type:
        text += f" (class {violation.class_type})"
    if violation.nearest:
        text += f"; did you mean {' or '.join(violation.nearest)}?"
    return Violation(path, f"{violation.type}: {text}")
