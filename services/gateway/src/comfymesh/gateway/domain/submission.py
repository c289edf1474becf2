"""What `POST /prompt` is given: read, judged, and made into a task (ComfyUI protocol notes, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from comfymesh.comfyui.verdict import Verdict
from comfymesh.gateway.domain import naming
from comfymesh.gateway.domain.marks import METHODS, Marks, client_mark
from comfymesh.gateway.domain.refusals import Refusal, RefusedError, refused
from comfymesh.graphs import Catalog, Graph, GraphNode, JsonValue

_BAD_ID = (
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one"
)
_FRONT_PRIORITY = 10
_LONGEST_WORKFLOW = 128


class ShapelessError(Exception):
    """A body that ComfyUI stumbles over: it answers 500."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A body that makes sense.

    Attributes:
        prompt_id: The id that the client has chosen, or that was made for it.
        prompt: The graph, as it was sent.
        marks: What is to be written on the task.
        targets: Output graph nodes to run; None for all.
        priority: Of the task.
    """

    prompt_id: str
    prompt: Mapping[str, JsonValue]
    marks: Marks
    targets: Collection[str] | None = None
    priority: int = 0


def read(body: JsonValue, now: float, new_id: Callable[[], str]) -> Submission:
    """Reads a body.

    Args:
        body: The body.
        now: Seconds since the epoch: prompts are numbered by it, so that several gateways number alike.
        new_id: Makes a prompt id.

    Raises:
        ShapelessError: ComfyUI would stumble.
        RefusedError: it is refused.
    """
    if not isinstance(body, (dict, list, str)):
        raise ShapelessError
    number = _number(body if isinstance(body, dict) else {}, now)
    if not isinstance(body, dict) or "prompt" not in body:
        raise refused("no_prompt", "No prompt provided", "No prompt provided")
    prompt_id = new_id() if body.get("prompt_id") is None else body["prompt_id"]
    if not naming.is_prompt_id(prompt_id):
        raise refused("invalid_prompt_id", "prompt_id must be a valid UUID", _BAD_ID)
    prompt, extra = body["prompt"], body.get("extra_data", {})
    if not isinstance(prompt, dict) or not isinstance(extra, dict):
        raise ShapelessError
    client = body.get("client_id", extra.get("client_id"))
    marks = Marks(
        # A number never matches a socket; it is written down in a way that no id of a socket is.
        None if client is None else client_mark(client) if isinstance(client, str) else f"{client!r:.64} (no text)",
        number,
        next((method for method in METHODS if extra.get("preview_method") == method), ""),
        _workflow_id(extra),
    )
    targets = body.get("partial_execution_targets")
    chosen = [each for each in targets if isinstance(each, str)] if isinstance(targets, list) else None
    return Submission(str(prompt_id), prompt, marks, chosen, _FRONT_PRIORITY if number < 0 else 0)


def _number(body: Mapping[str, JsonValue], now: float) -> float:
    if "number" in body:
        given = body["number"]
        try:
            return float(given)  # type: ignore[arg-type]  # whatever does not fit is what the except clause is for
        except (TypeError, ValueError, OverflowError):
            raise ShapelessError from None
    counted = round(now * 1_000_000)
    return -counted if body.get("front") else counted


def _workflow_id(extra: Mapping[str, JsonValue]) -> str:
    info = extra.get("extra_pnginfo")
    workflow = info.get("workflow") if isinstance(info, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) and len(found) <= _LONGEST_WORKFLOW and found.isprintable() else ""


def check(verdict: Verdict) -> None:
    """Refuses what was judged unfit, as ComfyUI does.

    Raises:
        RefusedError: with what is wrong with each graph node.
    """
    if verdict.error is not None:
        raise RefusedError(Refusal(400, {"error": verdict.error, "node_errors": verdict.node_errors}))


def chosen_part(verdict: Verdict, targets: Collection[str] | None) -> dict[str, JsonValue]:
    """The graph to run: the whole, or what the chosen outputs need."""
    if targets is None:
        return verdict.graph
    needed, waiting = set[str](), [*verdict.outputs]
    while waiting:
        node_id = waiting.pop()
        if node_id not in needed and node_id in verdict.graph:
            needed.add(node_id)
            waiting += (str(link.node_id) for _, link in _node(node_id, verdict.graph[node_id]).links())
    return {node_id: node for node_id, node in verdict.graph.items() if node_id in needed}


def uploads(graph: Mapping[str, JsonValue], catalog: Catalog) -> dict[tuple[str, str], str]:
    """Inputs that name an uploaded file, by graph node and input."""
    found = {}
    for node_id, written in graph.items():
        node = _node(node_id, written)
        known = catalog.classes.get(node.class_type)
        for name, value in node.inputs.items():
            spec = known.inputs.get(name) if known else None
            if spec is not None and spec.upload is not None and isinstance(value, str):
                found[node_id, name] = value
    return found


def outputs(graph: Mapping[str, JsonValue], catalog: Catalog) -> list[str]:
    """The output graph nodes of a graph."""
    classes = {node_id: _node(node_id, written).class_type for node_id, written in graph.items()}
    return [
        node_id for node_id, name in classes.items() if name in catalog.classes and catalog.classes[name].output_node
    ]


def as_graph(written: Mapping[str, JsonValue]) -> Graph:
    """A graph in API format as a value; parts that are none are empty."""
    return Graph({node_id: _node(node_id, node) for node_id, node in written.items()})


def _node(node_id: str, written: JsonValue) -> GraphNode:
    node = written if isinstance(written, dict) else {}
    inputs = node.get("inputs")
    return GraphNode(node_id, str(node.get("class_type", "")), inputs if isinstance(inputs, dict) else {})
