"""Reads the answers to HTTP requests. Pure (ComfyUI protocol notes, sections 3 to 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfymesh.agent.comfyui.errors import ComfyError, GraphRefused, ProtocolError, RouteMissing, UnsupportedServer
from comfymesh.agent.comfyui.protocol import load_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_TEXT = 2_000
_MOST_BYTES = 1 << 50


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submitted graph.

    Attributes:
        prompt_id: The prompt.
        number: Its sort key in the queue.
        node_errors: Output nodes that were left out because they are invalid, by graph node; normally empty.
    """

    prompt_id: str
    number: float
    node_errors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueIds:
    """Which prompts the server holds.

    Attributes:
        running: At most one, except behind a dead worker.
        pending: In the order in which they will run.
    """

    running: tuple[str, ...]
    pending: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        doing: What was asked, as "GET /queue".
        status: HTTP status.
        body: The whole body.
    """

    doing: str
    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body, for error messages."""
        return self.body[:_MAX_TEXT].decode("utf-8", "replace")

    def require_success(self) -> None:
        """Raise unless the status is 200.

        Raises:
            RouteMissing: It is 404, or the 405 that a server gives for POST to an unknown path.
            ComfyError: It is another one.
        """
        if self.status in (404, 405):
            raise RouteMissing(self.doing, self.status, self.text)
        if self.status != 200:
            raise ComfyError(self.doing, self.status, self.text)

    def json(self) -> object:
        """The body as JSON; raises as `require_success`, and `ComfyError` if it is none."""
        self.require_success()
        try:
            return load_json(self.body)
        except ProtocolError as error:
            raise ComfyError(self.doing, self.status, str(error)) from error

    def object(self) -> dict[str, Any]:
        """The body as JSON object; raises as `json`."""
        value = self.json()
        if not isinstance(value, dict):
            raise ComfyError(self.doing, self.status, "the answer is not a JSON object")
        return value

    def error_object(self) -> dict[str, Any] | None:
        """The body as JSON object whatever the status; None if it is none."""
        try:
            value = load_json(self.body)
        except ProtocolError:
            return None
        return value if isinstance(value, dict) else None


def read_accepted(answer: Answer, prompt_id: str) -> Accepted:
    """Read the answer to POST /prompt.

    Args:
        answer: The answer.
        prompt_id: The id that was asked for.

    Returns:
        What was queued.

    Raises:
        GraphRefused: The graph is invalid.
        UnsupportedServer: It was queued under another id, named in `prompt_id` of the error.
        ComfyError: Any other answer.
    """
    if answer.status == 400:
        raise _refusal(answer)
    body = answer.object()
    if body.get("prompt_id") != prompt_id:
        raise UnsupportedServer(answer.doing, answer.status, str(body.get("prompt_id")))
    errors, number = body.get("node_errors"), body.get("number")
    return Accepted(
        prompt_id, number if isinstance(number, int | float) else 0, errors if isinstance(errors, dict) else {}
    )


def read_queue(answer: Answer) -> QueueIds:
    """Read the answer to GET /queue.

    Args:
        answer: The answer.

    Returns:
        The ids in there, without the graphs; the server gives waiting prompts in no useful order.
    """
    body = answer.object()
    return QueueIds(_ids(body.get("queue_running")), _ids(body.get("queue_pending")))


def read_prompts(queue: Answer, history: Answer) -> dict[str, dict[str, Any]]:
    """Read the answers to GET /queue and GET /history.

    Args:
        queue: What waits and runs.
        history: What has ended.

    Returns:
        For each prompt id the `extra_data` that came with it.
    """
    waiting, ended = queue.object(), history.object().values()
    items = [*_items(waiting.get("queue_running")), *_items(waiting.get("queue_pending"))]
    items += _items([entry.get("prompt") for entry in ended if isinstance(entry, dict)])
    return {item[1]: item[3] for item in items if len(item) > 3 and isinstance(item[3], dict)}


def read_job(answer: Answer) -> dict[str, Any] | None:
    """Read the answer to GET /api/jobs/{id}.

    Args:
        answer: The answer.

    Returns:
        The job; None if there is no such job.

    Raises:
        RouteMissing: There is no such route. Only the jobs handler says in JSON that it found nothing.
    """
    if answer.status == 404 and "error" in (answer.error_object() or {}):
        return None
    return answer.object()


def read_stored_name(answer: Answer) -> str:
    """Read the answer to an upload.

    Args:
        answer: The answer.

    Returns:
        The name to use in `LoadImage`.

    Raises:
        ComfyError: The answer names no file.
    """
    body = answer.object()
    name, subfolder = body.get("name"), body.get("subfolder")
    if not isinstance(name, str) or not name:
        raise ComfyError(answer.doing, answer.status, "the answer names no file")
    return f"{subfolder}/{name}" if isinstance(subfolder, str) and subfolder else name


def _refusal(answer: Answer) -> ComfyError:
    body = answer.error_object() or {}
    error, node_errors = body.get("error"), body.get("node_errors")
    if not isinstance(error, dict):
        return ComfyError(answer.doing, answer.status, answer.text)
    return GraphRefused(error, node_errors if isinstance(node_errors, dict) else {})


def _ids(items: object) -> tuple[str, ...]:
    return tuple(item[1] for item in sorted(_items(items), key=lambda item: (item[0], item[1])))


def _items(items: object) -> list[list[Any]]:
    return [item for item in items if _is_item(item)] if isinstance(items, list) else []


def _is_item(item: object) -> bool:
    return isinstance(item, list) and len(item) >= 2 and isinstance(item[0], int | float) and isinstance(item[1], str)


def read_names(answer: Answer) -> list[str]:
    """The names in a list of objects that have one. Whatever else is in there is left out."""
    return [entry["name"] for entry in _named(answer)]


def read_sizes(answer: Answer) -> list[int]:
    """The sizes of the same objects, in bytes; 0 for those that tell none, or nonsense."""
    sizes = [entry.get("size") for entry in _named(answer)]
    return [size if isinstance(size, int) and 0 <= size < _MOST_BYTES else 0 for size in sizes]


def _named(answer: Answer) -> list[dict[str, Any]]:
    answer.require_success()
    entries = answer.json()
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [entry for entry in found if isinstance(entry.get("name"), str)]
