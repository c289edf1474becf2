"""How a prompt ended, read from its history entry. Pure (ComfyUI protocol notes, section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from comfymesh.agent.comfyui.events import ExecutionError
from comfymesh.agent.comfyui.protocol import clean, parse_error
from comfymesh.tasks.failures import FailureClass

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_ID = 256


class Noticed(StrEnum):
    """Which path told of an end. Each of them alone is enough: an end that one misses is found by the next."""

    SOCKET = "socket"
    """An event said so."""
    POLL = "poll"
    """The queue, the jobs or history were asked, and no event had said so."""
    WATCHDOG = "watchdog"
    """It was silent for longer than its graph node usually is."""
    PROBE = "probe"
    """The server does not answer, or its process has ended."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Every output node that ComfyUI accepted was run.

    Attributes:
        outputs: History's `outputs`, untrusted; see `comfymesh.agent.comfyui.outputs`.
        node_errors: What the answer to POST /prompt said about output nodes that it left out (partial success).
            Empty also when that answer was lost or the prompt was adopted: then compare `executed_outputs`.
        executed_outputs: Output nodes that ComfyUI accepted for this prompt, as history tells.
        noticed: Which path told of it.
    """

    outputs: Mapping[str, Any]
    node_errors: Mapping[str, Any] = field(default_factory=dict)
    executed_outputs: tuple[str, ...] = ()
    noticed: Noticed = field(default=Noticed.SOCKET, compare=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """A graph node raised.

    Attributes:
        error: What it raised.
        noticed: Which path told of it.
    """

    error: ExecutionError
    noticed: Noticed = field(default=Noticed.SOCKET, compare=False)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The prompt was stopped, or taken out of the queue by `cancel`."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The prompt is gone without an end of its own: the server restarted, died or was stuck, or somebody removed it.

    Attributes:
        reason: What was seen.
        failure: What it is if the prompt had begun.
        noticed: Which path told of it.
    """

    reason: str
    failure: FailureClass = FailureClass.INSTANCE_LOST
    noticed: Noticed = field(default=Noticed.POLL, compare=False)


Outcome: TypeAlias = Succeeded | Failed | Interrupted | Lost


def read_history(entry: Mapping[str, Any], node_errors: Mapping[str, Any]) -> Succeeded | Failed | Interrupted:
    """Read how a prompt ended.

    Args:
        entry: Its history entry.
        node_errors: What the answer to POST /prompt held under this name.

    Returns:
        The end. `status_str` decides, and for an error the last message that is final: an `ExecutionBlocked` is not.
    """
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    if status.get("status_str") == "success":
        return _succeeded(entry, node_errors)
    for name, data in reversed(_messages(status)):
        if name == "execution_interrupted":
            return Interrupted()
        if name == "execution_error" and data.get("exception_type") != "ExecutionBlocked":
            return Failed(parse_error(data))
    return Failed(_unexplained(status))


def _succeeded(entry: Mapping[str, Any], node_errors: Mapping[str, Any]) -> Succeeded:
    outputs = entry.get("outputs")
    return Succeeded(outputs if isinstance(outputs, dict) else {}, node_errors, _accepted_outputs(entry.get("prompt")))


def _accepted_outputs(prompt: object) -> tuple[str, ...]:
    ids = prompt[4] if isinstance(prompt, list) and len(prompt) > 4 else None
    return tuple(clean(node, _MAX_ID) for node in ids if isinstance(node, str)) if isinstance(ids, list) else ()


def _messages(status: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    messages = status.get("messages")
    pairs = messages if isinstance(messages, list) else []
    return [
        (pair[0], pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict)
    ]


def _unexplained(status: dict[str, Any]) -> ExecutionError:
    said = clean(str(status.get("status_str")), 100)
    return ExecutionError("", "", "", f"ComfyUI's history says {said!r} for this prompt and names no error")
