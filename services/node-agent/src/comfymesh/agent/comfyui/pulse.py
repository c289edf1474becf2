"""How long prompts may be silent: learned from those that went on. Pure.

ComfyUI's graph nodes tell their steps voluntarily, and one that is stuck says as little as one that is busy (ComfyUI
protocol notes, sections 1 and 13). What tells them apart is how long others of their class were silent.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.events import NodeStarted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfymesh.agent.comfyui.events import Event

_CLASSES = 4096
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a graph node may be silent, in seconds.

    Attributes:
        unknown: One of a class that was seen less than three times.
        floor: The shortest for all others: loading a model is silent, and rare.
        factor: So many times the longest silence that its class has come back from.
        unheard: A prompt whose events do not reach us: an adopted one, or one of a lost connection. It may do anything.
    """

    unknown: float = 900.0
    floor: float = 180.0
    factor: float = 5.0
    unheard: float = 6 * 3600.0


class Pace:
    """The silences of each class of graph nodes that came to an end.

    Args:
        patience: What is made of them. May be replaced.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._longest: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def learn(self, node_class: str, silence: float) -> None:
        """A graph node has said something again, after so many seconds."""
        longest, count = self._longest.pop(node_class, (0.0, 0))
        self._longest[node_class] = max(longest, silence), count + 1
        if len(self._longest) > _CLASSES:
            self._longest.popitem(last=False)

    def allowed(self, node_class: str | None) -> float:
        """How many seconds a graph node of this class may be silent; None: one whose events do not reach us."""
        if node_class is None:
            return self.patience.unheard
        longest, count = self._longest.get(node_class, (0.0, 0))
        learned = self.patience.factor * longest
        least = self.patience.unknown if count < _ENOUGH else self.patience.floor
        return max(least, learned)


@dataclass(slots=True)
class Pulse:
    """When a prompt was last heard of, and what it was doing then.

    Attributes:
        heard: When, in seconds of a monotonic clock.
        classes: Graph node to class, of the submitted graph; empty if it is not known.
        doing: Class of the graph node that executes; empty before the first.
    """

    heard: float
    classes: Mapping[str, str] = field(default_factory=dict)
    doing: str = ""
    _begun: bool = False

    def beat(self, event: Event, now: float, pace: Pace) -> None:
        """Something was heard. What came before its beginning was no silence of a graph node, but the queue."""
        if self._begun:
            pace.learn(self.doing, now - self.heard)
        self.heard, self._begun = now, True
        if isinstance(event, NodeStarted):
            self.doing = self.classes.get(event.display_node, "")


@dataclass(frozen=True, slots=True)
class Sign:
    """What is seen of a prompt at one moment. Times are in seconds.

    Attributes:
        prompt_id: The prompt.
        begun: Whether it is being executed, as far as we know.
        silence: Since it was last heard of.
        allowed: How long it may be silent.
        stopping: Since it was asked to stop; None if it was not.
    """

    prompt_id: str
    begun: bool
    silence: float
    allowed: float
    stopping: float | None
