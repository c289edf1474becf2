"""Our own policy: the core that the scheduler's process runs. The simulation is its log, its nodes and its clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from comfymesh.graphs import Catalog
from comfymesh.graphs.graph import JsonValue
from comfymesh.scheduler.domain import events
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import OfferWork
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.simulate.engine import Gpu, Run
from comfymesh.scheduler.simulate.trace import Request
from comfymesh.tasks import machine
from comfymesh.tasks.events import Assigned
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import (
    Definition,
    Key,
    ModelFile,
    Requirements,
    SpecRef,
    Timing,
    Work,
)

_CATALOG = "simulated"
_INSTANCE = "comfyui"
_CHECKPOINT = ("CheckpointLoaderSimple", "ckpt_name")
_LORA = ("LoraLoader", "lora_name")
_NEVER = 1e12


class Mesh:
    """Feeds the core what its process would, and starts what it offers at once.

    Args:
        gpus: The fleet; each GPU is a node with one instance that has one slot.
        requests: The trace, for the names of models alone: nodes have all of them.
        settings: The policy's settings.
    """

    free_loads = False

    def __init__(self, gpus: Sequence[Gpu], requests: Sequence[Request], settings: PolicySettings) -> None:
        self._core = Core(report_ttl=_NEVER, resend_after=_NEVER)
        self._gpus = {Place(f"gpu-{gpu.number:05}", _INSTANCE): gpu for gpu in gpus}
        self._places = {gpu.number: place for place, gpu in self._gpus.items()}
        self._requests: dict[Key, Request] = {}
        self._offers: deque[OfferWork] = deque()
        self._offered: dict[int, OfferWork] = {}
        self._sequence = 0
        self._handle(events.CatalogRead(_CATALOG, _catalog(requests)), 0.0)
        self._handle(events.PolicyChanged(settings), 0.0)
        self._handle(events.LogRead(), 0.0)
        for gpu in gpus:
            self._report(gpu, 0.0)

    def arrived(self, request: Request, now: float) -> None:
        """The log has a new task."""
        record = machine.create(_definition(request, now))
        self._requests[record.key] = request
        self._handle(events.TaskChanged(record, self._next()), now)

    def ended(self, run: Run, now: float) -> None:
        """The log tells how long it took, and that it has ended."""
        offer = self._offered.pop(run.request.number)
        models = tuple(sorted({model.name for model in offer.record.definition.requirements.models}))
        timing = Timing(run.load, run.run, run.loaded, gpu_class=_gpu_class(run.gpu))
        work = offer.record.definition.work
        told = events.Run(offer.record.key, work.shape, work.units, models, offer.place, timing, succeeded=True)
        self._handle(events.TaskRan(told), now)
        self._handle(events.TaskEnded(offer.record.key, self._next()), now)

    def starts(self, now: float) -> Iterator[tuple[Request, Gpu]]:  # noqa: ARG002
        """What the core has offered."""
        while self._offers:
            offer = self._offers.popleft()
            request = self._requests.pop(offer.record.key)
            self._offered[request.number] = offer
            yield request, self._gpus[offer.place]

    def started(self, request: Request, gpu: Gpu, now: float) -> None:
        """The node has claimed the task, and reports what it holds."""
        offer = self._offered[request.number]
        record = machine.apply(offer.record, Assigned(offer.place.node, offer.place.instance), now)
        self._handle(events.TaskChanged(record, self._next()), now)
        self._report(gpu, now)

    def _report(self, gpu: Gpu, now: float) -> None:
        place = self._places[gpu.number]
        instance = Instance(
            name=_INSTANCE,
            state=InstanceState.READY,
            slots=1,
            catalog=_CATALOG,
            resident=(*gpu.models, *gpu.loras),
            gpu_class=_gpu_class(gpu),
        )
        report = Report(place.node, "1", open=True, instances={_INSTANCE: instance})
        self._handle(events.NodeReported(report), now)

    def _handle(self, event: events.Event, now: float) -> None:
        self._offers.extend(d for d in self._core.handle(event, now) if isinstance(d, OfferWork))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence


def _gpu_class(gpu: Gpu) -> str:
    return f"class-{gpu.slowness:g}"


def _definition(request: Request, now: float) -> Definition:
    models = (ModelFile(*_CHECKPOINT, request.model), *(ModelFile(*_LORA, lora) for lora in request.loras))
    return Definition(
        key=Key(request.tenant, str(request.number)),
        request_digest="",
        spec=SpecRef("", 0),
        requirements=Requirements(models=models),
        create_time=now,
        work=Work(request.shape, request.units),
    )


def _catalog(requests: Sequence[Request]) -> Catalog:
    models: list[JsonValue] = [*sorted({request.model for request in requests})]
    loras: list[JsonValue] = [*sorted({lora for request in requests for lora in request.loras})]
    return Catalog.from_object_info(
        {
            node_class: {"input": {"required": {name: [options, {}]}}, "output": ["MODEL"], "output_node": False}
            for (node_class, name), options in ((_CHECKPOINT, models), (_LORA, loras))
        }
    )
