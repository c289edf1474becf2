"""Policies to compare with."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence

from comfymesh.scheduler.simulate.engine import Gpu, Run
from comfymesh.scheduler.simulate.trace import Request


class Fifo:
    """Any idle GPU, in order of arrival: the one that is idle for longest."""

    free_loads = False

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._idle = deque(gpus)
        self._queue: deque[Request] = deque()

    def arrived(self, request: Request, now: float) -> None:  # noqa: ARG002
        """It queues up."""
        self._queue.append(request)

    def ended(self, run: Run, now: float) -> None:  # noqa: ARG002
        """The GPU is idle."""
        self._idle.append(run.gpu)

    def starts(self, now: float) -> Iterator[tuple[Request, Gpu]]:  # noqa: ARG002
        """The first of the queue, as long as there are idle GPUs."""
        while self._queue and self._idle:
            yield self._queue.popleft(), self._idle.popleft()

    def started(self, request: Request, gpu: Gpu, now: float) -> None:
        """Nothing to note."""


class LeastLoaded:
    """A queue for each GPU; a request goes to the shortest as soon as it arrives."""

    free_loads = False

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._gpus = list(gpus)
        self._queues: list[deque[Request]] = [deque() for _ in gpus]
        self._busy = [False for _ in gpus]
        self._ready: deque[int] = deque()

    def arrived(self, request: Request, now: float) -> None:  # noqa: ARG002
        """It goes to the GPU with the fewest tasks."""
        loads = [len(queue) + busy for queue, busy in zip(self._queues, self._busy, strict=True)]
        number = loads.index(min(loads))
        self._queues[number].append(request)
        self._ready.append(number)

    def ended(self, run: Run, now: float) -> None:  # noqa: ARG002
        """The GPU goes on with its own queue."""
        self._busy[run.gpu.number] = False
        self._ready.append(run.gpu.number)

    def starts(self, now: float) -> Iterator[tuple[Request, Gpu]]:  # noqa: ARG002
        """The first of each queue whose GPU is idle."""
        while self._ready:
            number = self._ready.popleft()
            if self._queues[number] and not self._busy[number]:
                self._busy[number] = True
                yield self._queues[number].popleft(), self._gpus[number]

    def started(self, request: Request, gpu: Gpu, now: float) -> None:
        """Nothing to note."""


class Sticky:
    """Checkpoint affinity without more: a GPU drains the queue of what it holds, then takes what waits longest."""

    free_loads = False

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._idle = dict.fromkeys(gpus)
        self._queues: dict[str, deque[Request]] = {}

    def arrived(self, request: Request, now: float) -> None:  # noqa: ARG002
        """It waits with others that need the same checkpoint."""
        self._queues.setdefault(request.model, deque()).append(request)

    def ended(self, run: Run, now: float) -> None:  # noqa: ARG002
        """The GPU is idle."""
        self._idle[run.gpu] = None

    def starts(self, now: float) -> Iterator[tuple[Request, Gpu]]:  # noqa: ARG002
        """What needs no load, and then whatever is oldest."""
        while self._idle and self._queues:
            model, gpu = self._warm() or self._oldest()
            del self._idle[gpu]
            yield self._queues[model].popleft(), gpu
            if not self._queues[model]:
                del self._queues[model]

    def _warm(self) -> tuple[str, Gpu] | None:
        return next(((model, gpu) for gpu in self._idle for model in gpu.models if model in self._queues), None)

    def _oldest(self) -> tuple[str, Gpu]:
        return min(self._queues, key=lambda model: self._queues[model][0].number), next(iter(self._idle))

    def started(self, request: Request, gpu: Gpu, now: float) -> None:
        """Nothing to note."""


class Limit:
    """What cannot be had: loads take no time, and the shortest request goes first, its run time known beforehand."""

    free_loads = True

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._idle = [(gpu.slowness, gpu.number, gpu) for gpu in gpus]
        heapq.heapify(self._idle)
        self._queue: list[tuple[float, int, Request]] = []

    def arrived(self, request: Request, now: float) -> None:  # noqa: ARG002
        """It queues up by its length."""
        heapq.heappush(self._queue, (request.run, request.number, request))

    def ended(self, run: Run, now: float) -> None:  # noqa: ARG002
        """The GPU is idle."""
        heapq.heappush(self._idle, (run.gpu.slowness, run.gpu.number, run.gpu))

    def starts(self, now: float) -> Iterator[tuple[Request, Gpu]]:  # noqa: ARG002
        """The shortest, on the fastest."""
        while self._queue and self._idle:
            yield heapq.heappop(self._queue)[2], heapq.heappop(self._idle)[2]

    def started(self, request: Request, gpu: Gpu, now: float) -> None:
        """Nothing to note."""
