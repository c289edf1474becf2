"""Which instances a caller wants to load which files, and by what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from comfymesh import names
from comfymesh.api import fields
from comfymesh.api.errors import RefusedError, Violation, invalid, not_found
from comfymesh.api.fleet import Offer
from comfymesh.bus.intents import Intent, Preload
from comfymesh.graphs import Catalog, Hints
from comfymesh.graphs.loaders import loaders, stands_alone
from comfymesh.graphs.models import offered_models
from comfymesh.tasks.record import ModelFile
from comfymesh.v1.fleet_service_pb2 import PreloadModelsRequest
from comfymesh.v1.node_pb2 import PreloadFile

_MOST_FILES = 32
_MOST_PRELOADS = 32
_MAX_POOL = 64
_MAX_FILE = 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: of which nodes, by their ids, and what of each."""

    nodes: tuple[str, ...]
    preload: Preload


def wish(request: PreloadModelsRequest, offers: Iterable[Offer], intents: Iterable[Intent] = ()) -> Wish:
    """What a caller wants.

    Args:
        request: The request, without `violations`; its node, if it names one, exists.
        offers: What the instances of the fleet offer.
        intents: What is wanted of nodes so far, also of those that do not report.

    Raises:
        RefusedError: No instance is chosen, or none could load what is wanted.
    """
    chosen = [offer for offer in offers if _is_chosen(request, offer)]
    catalogs = list(dict.fromkeys(offer.catalog for offer in chosen if offer.catalog is not None))
    nodes = dict.fromkeys(names.parse_node(offer.node) for offer in chosen)
    if not request.files:  # What is gone may still be wanted no more.
        nodes.update(dict.fromkeys(_asked(request, intents)))
    if not nodes or (request.files and not chosen):
        raise _nothing_chosen(request)
    return Wish(tuple(nodes), Preload(_files(request.files, catalogs), request.pool, request.instance))


def added(intent: Intent, preload: Preload) -> Intent:
    """What is wanted of a node with this added.

    Raises:
        RefusedError: The node is asked for too much already.
    """
    wanted = intent.with_preload(preload)
    if len(wanted.preloads) > _MOST_PRELOADS:
        words = (
            f"{intent.node} is asked for {_MOST_PRELOADS} pairs of pool and instance already; end some with no files"
        )
        raise invalid([Violation("files", words)])
    return wanted


def violations(request: PreloadModelsRequest) -> Iterator[Violation]:
    """What is wrong with a request by itself."""
    if request.node:
        yield from fields.name_violations(request.node, names.parse_node, "node")
    if not request.node and not request.pool:
        yield Violation("node", "name a node, or a pool")
    if request.instance and not request.node:
        yield Violation("instance", "is unique on its node only; name the node as well")
    for field, text in (("pool", request.pool), ("instance", request.instance)):
        if len(text) > _MAX_POOL:
            yield Violation(field, f"has {len(text)} characters, at most {_MAX_POOL} are allowed")
    if len(request.files) > _MOST_FILES:
        yield Violation("files", f"has {len(request.files)} entries, at most {_MOST_FILES} are allowed")
    for number, file in enumerate(request.files[:_MOST_FILES]):
        if not file.name or len(file.name) > _MAX_FILE:
            yield Violation(f"files[{number}].name", f"must have 1 to {_MAX_FILE} characters")
        if len(file.input) > _MAX_FILE or (file.input and not all(file.input.rpartition(".")[::2])):
            yield Violation(f"files[{number}].input", "must be {node class}.{input}, as ListModels tells it")


def _is_chosen(request: PreloadModelsRequest, offer: Offer) -> bool:
    return (
        request.node in {"", offer.node}
        and request.pool in {"", offer.site.pool}
        and request.instance in {"", offer.instance}
    )


def _asked(request: PreloadModelsRequest, intents: Iterable[Intent]) -> Iterator[str]:
    """The node that is named, or all that were asked for a pool, by their ids."""
    if request.node:
        yield names.parse_node(request.node)
        return
    for intent in intents:
        if any((each.pool, each.instance) == (request.pool, request.instance) for each in intent.preloads):
            yield intent.node


def _nothing_chosen(request: PreloadModelsRequest) -> RefusedError:
    if request.instance:
        return not_found("instance", request.instance)
    if request.pool:
        return not_found("pool", names.pool(request.node, request.pool) if request.node else request.pool)
    return not_found("instance", f"of {request.node}")


def _files(asked: Sequence[PreloadFile], catalogs: Sequence[Catalog]) -> tuple[ModelFile, ...]:
    """What is to be loaded by what.

    Raises:
        RefusedError: Some of it no instance could load.
    """
    found, wrong, hints = dict[ModelFile, None](), list[Violation](), Hints()
    for number, file in enumerate(asked):
        answer = _file(file, catalogs, hints)
        if isinstance(answer, ModelFile):
            found[answer] = None
        else:
            wrong.append(Violation(f"files[{number}]", answer))
    if wrong:
        raise invalid(wrong)
    return tuple(found)


def _file(file: PreloadFile, catalogs: Sequence[Catalog], hints: Hints) -> ModelFile | str:
    """A file and what loads it, or in words why that can't be."""
    offered = {name: where for catalog in catalogs for name, where in offered_models(catalog).items()}
    if file.name not in offered:
        near = hints.near(file.name, offered)
        mean = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"none of the instances has the model {file.name}{mean}"
    known = [loaded for catalog in catalogs for loaded in loaders(catalog, file.name)]
    if not file.input:
        if known:
            return ModelFile(*known[0], file.name)
        where = ", ".join(sorted(offered[file.name])[:3])
        return f"{file.name} can't be loaded by itself: what takes it ({where}) needs more than the file"
    node_class, _, name = file.input.rpartition(".")
    if (node_class, name) in known:
        return ModelFile(node_class, name, file.name)
    return _why_not(file, node_class, name, catalogs)


def _why_not(file: PreloadFile, node_class: str, name: str, catalogs: Sequence[Catalog]) -> str:
    classes = [catalog.classes[node_class] for catalog in catalogs if node_class in catalog.classes]
    if any(name in each.inputs and file.name in each.inputs[name].options for each in classes):
        needs_more = not any(stands_alone(each, name) for each in classes)
        return f"{file.input} needs more than the file" if needs_more else f"{file.input} takes uploads"
    return f"no instance offers {file.name} at {file.input}"
