"""The world of a simulation: GPUs, arrivals and a clock. Policies decide, and never see what has not happened yet."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from comfymesh.scheduler.simulate.trace import LoadTimes, Request


@dataclass(slots=True, eq=False)
class Gpu:
    """One GPU with one ComfyUI, which keeps up to `capacity` checkpoints, and the LoRAs of its last task.

    Attributes:
        number: Its number.
        slowness: How long a run takes here, as a multiple of what the trace says.
        capacity: Checkpoints that it keeps; the one unused for longest makes room.
        models: Those that it holds, that one first.
        loras: LoRAs that are patched into the model used last.
    """

    number: int
    slowness: float = 1.0
    capacity: int = 1
    models: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()

    def missing(self, request: Request) -> tuple[str, ...]:
        """What would have to be loaded for a request."""
        models = () if request.model in self.models else (request.model,)
        held = self.loras if self.models[-1:] == (request.model,) else ()
        return models + tuple(lora for lora in request.loras if lora not in held)

    def use(self, request: Request) -> None:
        """A request runs here: its models are there now, others may have had to go."""
        others = tuple(model for model in self.models if model != request.model)
        self.models = (*others, request.model)[-self.capacity :]
        self.loras = request.loras


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a request."""

    request: Request
    gpu: Gpu
    loaded: tuple[str, ...]
    load: float
    run: float
    end: float


class Policy(Protocol):
    """Decides which request runs where. It is told of everything, in order of time."""

    free_loads: bool
    """Whether loads take no time: only for a limit that cannot be had."""

    def arrived(self, request: Request, now: float) -> None:
        """A request has arrived."""

    def ended(self, run: Run, now: float) -> None:
        """A run has ended, and its GPU is free."""

    def starts(self, now: float) -> Iterator[tuple[Request, Gpu]]:
        """Requests that begin now, each on a GPU that is free."""

    def started(self, request: Request, gpu: Gpu, now: float) -> None:
        """A request has begun."""


@dataclass(slots=True)
class Outcome:
    """What came of all requests, and what deciding it cost: seconds, an event each."""

    runs: list[Run] = field(default_factory=list)
    decisions: list[float] = field(default_factory=list)


def simulate(requests: Sequence[Request], policy: Policy, times: LoadTimes) -> Outcome:
    """Lets a policy serve requests until none is left.

    Raises:
        RuntimeError: the policy starts something on a GPU that is busy, or leaves requests for good.
    """
    outcome = Outcome()
    arrivals: Iterable[tuple[float, int, Request | Run]] = [(r.arrival, r.number, r) for r in requests]
    coming = list(arrivals)
    heapq.heapify(coming)
    busy: set[int] = set()
    while coming:
        now, _, event = heapq.heappop(coming)
        began = time.thread_time()
        if isinstance(event, Run):
            busy.discard(event.gpu.number)
            outcome.runs.append(event)
            policy.ended(event, now)
        else:
            policy.arrived(event, now)
        for request, gpu in policy.starts(now):
            if gpu.number in busy:
                raise RuntimeError(f"request {request.number} was started on GPU {gpu.number}, which is busy")
            busy.add(gpu.number)
            run = _begin(request, gpu, times, now, free=policy.free_loads)
            heapq.heappush(coming, (run.end, request.number, run))
            policy.started(request, gpu, now)
        outcome.decisions.append(time.thread_time() - began)
    if len(outcome.runs) < len(requests):
        raise RuntimeError(f"{len(requests) - len(outcome.runs)} requests were never served")
    return outcome


def _begin(request: Request, gpu: Gpu, times: LoadTimes, now: float, *, free: bool) -> Run:
    loaded = () if free else gpu.missing(request)
    load = sum(times.model(name) if name == request.model else times.lora(name) for name in loaded)
    gpu.use(request)
    run = request.run * gpu.slowness
    return Run(request, gpu, loaded, load, run, now + load + run)
