"""Where the time of a prompt goes: into loading models, or into work. Pure: events and their moments in, a timing out.

ComfyUI does not tell when it loads a model. It tells when each graph node begins and when samplers take their steps
(ComfyUI protocol notes, section 7.3). Models are loaded in two places: graph nodes that name a file read it, unless
their result is cached; and samplers move what they need to the GPU before their first step, whatever was cached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfymesh.agent.comfyui.events import (
    Event,
    ExecutionStarted,
    ExecutionSucceeded,
    NodeStarted,
    StepProgress,
)
from comfymesh.tasks.record import ModelFile, Timing

_READ_SECONDS = 0.005
"""Who is quicker than this has not read a model file, but had it."""

_MOVED_SECONDS = 0.25
_MOVED_STEPS = 4
"""A sampler that needs so much longer for its first step than for others has had its models moved to the GPU. Less may
be something else, such as kernels that are compiled."""


@dataclass(slots=True)
class _Run:
    """The graph node that runs: since when, and its steps: when the first was told and which that was, and the last."""

    graph_node: str
    since: float
    first: tuple[float, float] | None = None
    last: tuple[float, float] | None = None

    def waited(self) -> float:
        """Seconds before its first step was under way; 0 where its steps do not tell."""
        if self.first is None or self.last is None or self.last[1] <= self.first[1]:
            return 0.0
        step = (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])
        waited = self.first[0] - self.since - step * self.first[1]
        return waited if waited >= max(_MOVED_SECONDS, _MOVED_STEPS * step) else 0.0


@dataclass(slots=True)
class Stopwatch:
    """Watches one prompt.

    Args:
        models: Model files that its graph names.
    """

    models: tuple[ModelFile, ...]
    _graph: Mapping[str, Any] = field(default_factory=dict)
    _began: float | None = None
    _last: float = 0.0
    _load: float = 0.0
    _loaded: dict[str, None] = field(default_factory=dict)
    _run: _Run | None = None

    def submit(self, graph: Mapping[str, Any]) -> None:
        """The graph is about to be submitted."""
        self._graph = graph

    def feed(self, event: Event, now: float) -> None:
        """Take in an event of the prompt, which arrived at `now`, in seconds of a monotonic clock."""
        self._last = now
        match event:
            case ExecutionStarted():
                self._began = now
            case NodeStarted():
                self._end_run(now)
                self._run = _Run(event.display_node, now)
            case StepProgress() if self._run and event.value:
                self._run.first = self._run.first or (now, event.value)
                self._run.last = (now, event.value)
            case ExecutionSucceeded():
                self._end_run(now)
            case _:
                pass

    def stop(self, now: float) -> None:
        """The prompt is over, whatever of it was heard."""
        self._last = now

    def timing(self) -> Timing | None:
        """What there is to tell by now; None of a prompt whose beginning was not seen."""
        if self._began is None or not self._graph:
            return None
        self._end_run(self._last)
        run = max(0.0, self._last - self._began - self._load)
        return Timing(round(self._load, 6), round(run, 6), tuple(self._loaded))

    def used(self) -> tuple[str, ...]:
        """Every model file of the prompt, what was in memory already first."""
        names = dict.fromkeys(model.name for model in self.models if model.name not in self._loaded)
        return (*names, *self._loaded)

    def _end_run(self, now: float) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        files, took = self._files(run.graph_node), now - run.since
        if files and took >= _READ_SECONDS:
            self._load += took
            self._loaded |= dict.fromkeys(files)
        elif not files and (waited := run.waited()):
            self._load += waited
            self._loaded |= dict.fromkeys(self._files_behind(run.graph_node))

    def _files(self, graph_node: str) -> list[str]:
        node = self._graph.get(graph_node)
        if node is None:
            return []
        return [
            model.name
            for model in self.models
            if node["class_type"] == model.node_class and node["inputs"].get(model.input) == model.name
        ]

    def _files_behind(self, graph_node: str) -> Iterator[str]:
        """Files of all graph nodes that feed this one."""
        waiting, seen = [graph_node], set[str]()
        while waiting:
            node_id = waiting.pop()
            if node_id in seen or node_id not in self._graph:
                continue
            seen.add(node_id)
            yield from self._files(node_id)
            inputs = self._graph[node_id]["inputs"].values()
            waiting += [value[0] for value in inputs if isinstance(value, list) and value and isinstance(value[0], str)]
