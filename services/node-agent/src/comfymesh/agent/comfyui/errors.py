"""What can go wrong between the agent and a ComfyUI server.

ComfyError                 the server answered, but not with what was asked for
+-- GraphRefused           it will not run this graph (400 with node errors)
+-- OutputMissing          it does not have that file (404 on /view)
+-- RouteMissing           it is too old for that route
+-- UnsupportedServer      it is too old for this client
+-- AnswerTooLarge         its answer is larger than what is read
ComfyUnreachable           it did not answer
ProtocolError              it sent a message that is not what the protocol says
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

REASON_REFUSED = "CONNECTION_REFUSED"
REASON_TIMEOUT = "TIMEOUT"
REASON_BROKEN = "CONNECTION_BROKEN"
REASON_NO_SOCKET = "NO_EVENT_SOCKET"


class ComfyUnreachable(Exception):  # noqa: N818 - the state of the server, not of our program
    """ComfyUI did not answer.

    Args:
        doing: What was tried, as "POST /prompt".
        reason: `CONNECTION_REFUSED` or `NO_EVENT_SOCKET` (the request was never sent), `TIMEOUT` or
            `CONNECTION_BROKEN` (it may have been carried out).
        detail: What the library below said.
    """

    def __init__(self, doing: str, reason: str, detail: str) -> None:
        super().__init__(
            f"{doing}: ComfyUI did not answer ({reason}: {detail}). Check that its process runs and its port is open."
        )
        self.doing = doing
        self.reason = reason

    @property
    def sent(self) -> bool:
        """Whether the server may have received the request."""
        return self.reason in (REASON_TIMEOUT, REASON_BROKEN)


class ComfyError(Exception):
    """ComfyUI answered with an error.

    Args:
        doing: What was tried, as "POST /prompt".
        status: HTTP status.
        text: The answer's text, shortened.
    """

    def __init__(self, doing: str, status: int, text: str) -> None:
        super().__init__(f"{doing}: ComfyUI answered {status}: {text[:500] or '(empty)'}")
        self.doing = doing
        self.status = status
        self.text = text


class GraphRefused(ComfyError):  # noqa: N818 - a verdict of the server
    """ComfyUI will not run the graph; nothing was queued (ComfyUI protocol notes, section 4).

    Args:
        error: `type`, `message`, `details`, `extra_info` of the refusal.
        node_errors: Graph node to `class_type`, `dependent_outputs` and `errors`; empty for an unknown class.
    """

    def __init__(self, error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> None:
        super().__init__("POST /prompt", 400, f"{error.get('type')}: {error.get('message')}")
        self.error = error
        self.node_errors = node_errors


class OutputMissing(ComfyError):  # noqa: N818 - names what is missing
    """The server does not have the file, although an output names it (deleted meanwhile, or a cached result)."""


class RouteMissing(ComfyError):  # noqa: N818 - names what is missing
    """The server is older than this route."""


class AnswerTooLarge(ComfyError):  # noqa: N818 - the state of the server
    """The answer was not read to its end."""


class UnsupportedServer(ComfyError):  # noqa: N818 - the state of the server
    """The server is too old: it does not take over the prompt id that the client chooses.

    Args:
        doing: What was tried.
        status: HTTP status.
        prompt_id: The id under which the server queued the prompt.
    """

    def __init__(self, doing: str, status: int, prompt_id: str) -> None:
        super().__init__(doing, status, "the server chose a prompt id of its own; ComfyUI 0.3.45 or newer is needed")
        self.prompt_id = prompt_id


class ProtocolError(Exception):
    """A message that does not follow the protocol; the text says which rule was broken."""
