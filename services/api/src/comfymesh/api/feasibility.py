"""Whether any instance of the fleet could run a graph, and if none could, why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grpc import StatusCode

from comfymesh import graphs
from comfymesh.api.errors import RefusedError, Violation
from comfymesh.api.fleet import Offer
from comfymesh.graphs import Catalog, Graph, Validation, ViolationType
from comfymesh.tasks.placing import unmet
from comfymesh.tasks.record import ANYWHERE, ModelFile, Placement, Requirements, Work

_MOST_OFFERS_NAMED = 20
_MOST_TOLD = 3
_LONGEST_LACK = 200

_Part = tuple[str, str, str]
"""What a graph needs: a class, and the value of one of its inputs where it is that which is lacking."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A graph as an instance sees it: which, what it says of the graph, and what it offers."""

    name: str
    validation: Validation
    catalog: Catalog


def check(
    graph: Graph,
    offers: Sequence[Offer],
    placement: Placement = ANYWHERE,
    *,
    allow_partial: bool,
    settling: bool,
    validate: Callable[[Graph, Catalog], Validation] = graphs.validate,
) -> Fit:
    """Find an instance that could run a graph.

    Args:
        graph: The graph, inputs set.
        offers: What the fleet offers. Instances that do not serve right now count: they may come back.
        placement: Where the caller wants it to run.
        allow_partial: Whether invalid outputs may be left out.
        settling: Whether nodes may still be on their way, since this process has just started.
        validate: Checks the graph against a catalog.

    Raises:
        RefusedError: no instance could run it.
    """
    fits = _fits(graph, offers, validate)
    if not fits:
        raise _nothing_known(offers, settling=settling)
    able = [
        fit for fit in fits.values() if not fit.validation.violations or (allow_partial and fit.validation.is_partial)
    ]
    for offer in offers:
        fit = fits.get(id(offer.catalog))
        if fit in able and not any(unmet(placement, offer.site)):
            return fit
    validations = {fit.name: fit.validation for fit in fits.values()}
    if able:
        raise _nobody(_rejections(offers, fits, placement), "ask for less of the node, or bring up such a node")
    best = min(validations.values(), key=lambda validation: len(validation.violations))
    if best.is_partial:
        raise _refused("PARTIAL_OUTPUTS", "some outputs of the graph can't run and would be left out", best)
    if _each_part_exists(validations):
        raise _nobody(_rejections(offers, fits, placement), "bring it together on one node")
    raise _refused("INVALID_WORKFLOW", "ComfyUI would refuse the graph", best)


def requirements(validation: Validation, placement: Placement = ANYWHERE) -> Requirements:
    """What an instance must offer to run the graph, and be."""
    nodes = validation.graph.nodes.values()
    return Requirements(
        node_classes=tuple(sorted({node.class_type for node in nodes})),
        models=tuple(
            sorted(
                {
                    ModelFile(model.class_type, model.input_name, model.name)
                    for model in validation.models
                    if model.known and model.node_id in validation.reached
                },
                key=lambda model: (model.node_class, model.input, model.name),
            )
        ),
        placement=placement,
    )


def work(fit: Fit) -> Work:
    """How much work the graph is."""
    validation = fit.validation
    found = graphs.work(validation.graph, fit.catalog, validation.runnable_outputs, validation.sound)
    return Work(found.shape, found.units)


def _fits(graph: Graph, offers: Sequence[Offer], validate: Callable[[Graph, Catalog], Validation]) -> dict[int, Fit]:
    """The graph as each distinct catalog sees it, by the catalog's id."""
    found: dict[int, Fit] = {}
    for offer in offers:
        if offer.catalog is not None and id(offer.catalog) not in found:
            validation = validate(graph, offer.catalog)
            found[id(offer.catalog)] = Fit(f"{offer.node}/{offer.instance}", validation, offer.catalog)
    return found


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


def _rejections(
    offers: Sequence[Offer], fits: Mapping[int, Fit], placement: Placement
) -> dict[str, list[tuple[str, str]]]:
    """For each instance, each filter that rejects it, with what it lacks in words."""
    return {
        f"{offer.node}/{offer.instance}": [
            *((wish.value, words) for wish, words in unmet(placement, offer.site)),
            *_absent(fits.get(id(offer.catalog))),
        ]
        for offer in offers
    }


def _absent(fit: Fit | None) -> Iterator[tuple[str, str]]:
    if fit is None:
        yield "catalog", "has not told what it offers"
        return
    for violation in fit.validation.violations:
        match violation.type:
            case ViolationType.MISSING_NODE_TYPE:
                yield "node_classes", f"node class {violation.class_type}"
            case ViolationType.VALUE_NOT_IN_LIST:
                yield (
                    "models",
                    f"{violation.extra_info.get('received_value')} for {violation.class_type}.{violation.input_name}",
                )
            case _:
                yield "graph", violation.details or violation.message


def _nobody(rejections: Mapping[str, list[tuple[str, str]]], advice: str) -> RefusedError:
    """No instance could run it: how many each filter rejects, and what each instance lacks."""
    counts = Counter(name for rejected in rejections.values() for name in {name for name, _ in rejected})
    named = dict(list(rejections.items())[:_MOST_OFFERS_NAMED])
    lacking = {name: ", ".join(sorted(words for _, words in rejected)) for name, rejected in named.items()}
    what = "; ".join(f"{name} lacks: {lack[:_LONGEST_LACK]}" for name, lack in list(lacking.items())[:_MOST_TOLD])
    totals = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    filtered = {f"filtered.{name}": str(count) for name, count in counts.items()}
    return RefusedError(
        "NO_FEASIBLE_NODE",
        f"none of {len(rejections)} instances could run the graph (rejected by {totals}: {what}); {advice}",
        {"instances": str(len(rejections)), **filtered, **lacking},
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
