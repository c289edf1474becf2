"""What the gateway writes on a task, as labels: what ComfyUI would know of a prompt beside its graph.

With it any gateway can go on where another was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

GATEWAY = {"comfyui/gateway": "1"}
"""On every task that came through a gateway. What did not is shown and stopped by none."""

_CLIENT, _NUMBER, _PREVIEWS, _WORKFLOW = ("comfyui/client", "comfyui/number", "comfyui/previews", "comfyui/workflow")
_LONGEST = 128


@dataclass(frozen=True, slots=True)
class Marks:
    """What is written on the task of a prompt.

    Attributes:
        client: Mark of the client that is told its events; None where nobody is.
        number: The prompt's sort key.
        previews: How previews are made, as ComfyUI calls it; empty for what is usual at the gateway.
        workflow_id: What the client's front-end calls the workflow, or empty.
    """

    client: str | None
    number: float
    previews: str = ""
    workflow_id: str = ""

    def labels(self) -> dict[str, str]:
        """As labels."""
        client = {} if self.client is None else {_CLIENT: self.client}
        workflow = {_WORKFLOW: self.workflow_id} if self.workflow_id else {}
        previews = {_PREVIEWS: self.previews} if self.previews else {}
        return {**GATEWAY, **client, _NUMBER: f"{self.number:.17g}", **workflow, **previews}


METHODS = ("none", "auto", "latent2rgb", "taesd")
"""How ComfyUI can make previews. Which of them makes no difference here: instances decide."""


def wants_previews(marks: Marks, *, usual: bool) -> bool:
    """Whether a prompt's client is sent previews."""
    return marks.previews != "none" if marks.previews else usual


def client_mark(client_id: str) -> str:
    """A client's id as a label holds it: any text may be one."""
    if client_id and len(client_id) <= _LONGEST and client_id.isascii() and client_id.isprintable():
        return client_id
    return "sha256:" + hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).hexdigest()


def read(labels: Mapping[str, str]) -> Marks:
    """What is written on a task."""
    try:
        number = float(labels.get(_NUMBER, "0"))
    except ValueError:
        number = 0.0
    return Marks(
        labels.get(_CLIENT),
        int(number) if number.is_integer() else number,
        labels.get(_PREVIEWS, ""),
        labels.get(_WORKFLOW, ""),
    )
