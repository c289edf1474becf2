"""What a ComfyUI server tells its clients, as values (ComfyUI protocol notes, sections 7.3 and 7.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Status:
    """The queue count changed; sent to every socket.

    Attributes:
        queue_remaining: Prompts running and waiting.
        sid: The client id of this socket; only in the first message of a connection.
    """

    queue_remaining: int
    sid: str | None = None


@dataclass(frozen=True, slots=True)
class PromptEvent:
    """An event of one prompt that the server names.

    Attributes:
        prompt_id: The prompt.
    """

    prompt_id: str


@dataclass(frozen=True, slots=True)
class ExecutionStarted(PromptEvent):
    """The prompt left the queue and runs."""


@dataclass(frozen=True, slots=True)
class ExecutionCached(PromptEvent):
    """Sent once at the start of every prompt.

    Attributes:
        graph_nodes: Graph nodes whose results are taken from the cache; may be empty.
    """

    graph_nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A graph node begins; cached graph nodes never do.

    Attributes:
        prompt_id: The prompt; None in the single message that greets a client which reconnects under its old id.
        graph_node: The graph node, a dotted id if it was made at run time.
        display_node: The graph node of the submitted graph that stands for it.
    """

    prompt_id: str | None
    graph_node: str
    display_node: str


@dataclass(frozen=True, slots=True)
class PromptEnded(PromptEvent):
    """The prompt is over, however it went, and its history is written (`executing` with no node)."""


@dataclass(frozen=True, slots=True)
class StepProgress(PromptEvent):
    """Steps of the graph node that runs.

    Attributes:
        graph_node: The graph node; empty if the server did not say.
        value: Steps done, finite, not negative.
        maximum: Steps in all, finite, not negative.
    """

    graph_node: str
    value: float
    maximum: float


@dataclass(frozen=True, slots=True)
class GraphNodeState:
    """How far one graph node is.

    Attributes:
        graph_node: The graph node, a dotted id if it was made at run time.
        display_node: The graph node of the submitted graph that stands for it.
        value: Steps done, finite, not negative.
        maximum: Steps in all, finite, not negative.
        finished: It is done; otherwise it runs.
    """

    graph_node: str
    display_node: str
    value: float
    maximum: float
    finished: bool


@dataclass(frozen=True, slots=True)
class ProgressState(PromptEvent):
    """The whole list of graph nodes that began so far, cached ones left out.

    Attributes:
        graph_nodes: In the server's order.
    """

    graph_nodes: tuple[GraphNodeState, ...]


@dataclass(frozen=True, slots=True)
class NodeOutput(PromptEvent):
    """An output node has something to show; also sent for cached ones.

    Attributes:
        graph_node: The graph node.
        display_node: The graph node of the submitted graph that stands for it.
        output: What the node returned, untouched and untrusted; empty if it returned nothing.
    """

    graph_node: str
    display_node: str
    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutionSucceeded(PromptEvent):
    """All output nodes are done; history is not yet written."""


@dataclass(frozen=True, slots=True)
class ExecutionError:
    """What a graph node raised. Every text is untrusted, bounded in length, and encodable as UTF-8.

    Attributes:
        graph_node: The graph node that raised.
        graph_node_class: Its class.
        exception_type: Class name, with its module unless a builtin (`torch.OutOfMemoryError`).
        message: The exception's text without surrounding space.
        traceback: Lines as the server formatted them; they show the server's paths.
    """

    graph_node: str
    graph_node_class: str
    exception_type: str
    message: str
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecutionFailed(PromptEvent):
    """A graph node raised. Final, unless its type is `ExecutionBlocked`: then the prompt goes on.

    Attributes:
        error: What it raised.
    """

    error: ExecutionError


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted(PromptEvent):
    """The prompt was stopped.

    Attributes:
        graph_node: The graph node that noticed.
        graph_node_class: Its class.
    """

    graph_node: str
    graph_node_class: str


@dataclass(frozen=True, slots=True)
class FeatureFlags:
    """What the server can do, its answer to our own flags.

    Attributes:
        preview_metadata: Previews come with prompt and graph node.
        flags: Everything it said, untouched.
    """

    preview_metadata: bool
    flags: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of how far the graph node is.

    Attributes:
        image: The encoded picture, untrusted, not empty.
        media_type: `image/jpeg`, `image/png` or another raster type.
        prompt_id: None when the server sends previews without it (no feature flags, old server, or a prompt without
            client id).
        graph_node: The display node; None as above.
    """

    image: bytes
    media_type: str
    prompt_id: str | None = None
    graph_node: str | None = None


@dataclass(frozen=True, slots=True)
class TextProgress:
    """A line of text that a running graph node shows.

    Attributes:
        graph_node: The graph node.
        text: The line, untrusted, bounded in length.
        prompt_id: Not sent by the server; filled in by whoever knows which prompt runs.
    """

    graph_node: str
    text: str
    prompt_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message of a type that means nothing to us, for instance one of a custom node's own.

    Attributes:
        type: The type as sent, shortened.
    """

    type: str


Event: TypeAlias = (
    Status
    | ExecutionStarted
    | ExecutionCached
    | NodeStarted
    | PromptEnded
    | StepProgress
    | ProgressState
    | NodeOutput
    | ExecutionSucceeded
    | ExecutionFailed
    | ExecutionInterrupted
    | FeatureFlags
    | Preview
    | TextProgress
    | Ignored
)
