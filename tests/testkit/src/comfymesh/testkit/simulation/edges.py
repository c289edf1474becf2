"""Cuts the services off from the world: where they would open a connection they get one of the simulation.

The services are run by their own `serve`; replaced are five things only, each the last of ours before a library: the
bus, the gRPC server, ComfyUI's HTTP calls, its event socket, and what the machine is asked (whether a port is open,
what GPUs, memory and disk it has, for a temporary file).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import lru_cache, partial
from typing import Any, Self
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from comfymesh.agent import host as agent_host
from comfymesh.agent import services as agent_services
from comfymesh.agent import sources as agent_sources
from comfymesh.agent.comfyui import socket
from comfymesh.agent.comfyui.answers import Answer
from comfymesh.agent.comfyui.errors import REASON_BROKEN, REASON_REFUSED, ComfyUnreachable, OutputMissing
from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.comfyui.outputs import OutputFile
from comfymesh.agent.domain.offsets import Offset
from comfymesh.agent.host import Room
from comfymesh.agent.host_clock import HostClock
from comfymesh.agent.nvml import Gpu, Nvml
from comfymesh.agent.runtimes.attach import AttachRuntime
from comfymesh.agent.runtimes.contract import Absent, Running, Status
from comfymesh.api import main as api_main
from comfymesh.api.interceptors import Door
from comfymesh.api.server import Place
from comfymesh.api.watch import Mailbox
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.records import Stored
from comfymesh.runtime import database
from comfymesh.scheduler import main as scheduler_main
from comfymesh.scheduler.lease import Lease
from comfymesh.tasks import codec
from comfymesh.tasks.record import TaskRecord
from comfymesh.testkit.simulation import lives
from comfymesh.testkit.simulation.bus import Roughness, SimulatedBus, SimulatedServer
from comfymesh.testkit.simulation.chance import exponential
from comfymesh.testkit.simulation.comfyui import ComfyUI, Socket
from comfymesh.testkit.simulation.endpoint import Endpoint
from comfymesh.testkit.simulation.loop import Pause

_HTTP_SECONDS = 0.002
_ROOM = Room(64 << 30, 32 << 30, 1 << 40, 1 << 39)
_ARRIVES = 0.5
"""How often a call whose caller is gone, as after a kill, was sent already."""


class Edges:
    """What is on the other side.

    Args:
        server: The bus server.
        comfyuis: Every ComfyUI by host name.
        rough: What goes wrong on the way to the bus.
        rng: Decides when, and how long things take.

    Attributes:
        buses: Every connection to the bus, by the name of its process; the last one of each.
        endpoints: The APIs that serve now.
        lags: By how many seconds a stream tells a process late, by the names of both.
    """

    def __init__(
        self, server: SimulatedServer, comfyuis: Mapping[str, ComfyUI], rough: Roughness, rng: random.Random
    ) -> None:
        self._server = server
        self._comfyuis = comfyuis
        self._rough = rough
        self._rng = rng
        self._open: set[int] = set()
        self.buses: dict[str, SimulatedBus] = {}
        self.endpoints: list[Endpoint] = []
        self.lags: dict[tuple[str, str], float] = {}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put them between the services and the libraries."""
        with ExitStack() as stack:
            for target, name, replacement in self._replacements():
                stack.enter_context(patch.object(target, name, replacement))
            yield

    def _replacements(self) -> Iterator[tuple[Any, str, Any]]:
        yield JetStreamBus, "open", self.open_bus
        yield api_main, "serving", self._serving
        yield ComfyHttp, "__aenter__", self._enter_method()
        yield ComfyHttp, "__aexit__", self._leave_method()
        yield ComfyHttp, "_call", self._http_method()
        yield ComfyHttp, "view", self._view_method()
        yield socket, "connect", self._connect
        yield AttachRuntime, "poll", self._poll_method()
        yield agent_sources, "node_secret", lambda _: b"simulated"
        yield agent_services, "HostClock", _HostClock
        yield agent_services, "Nvml", _NoGpus
        yield agent_host, "read_room", lambda *_: _ROOM
        yield database, "_temporary", lambda: ":memory:"
        # Its clock is a default argument, bound before there was a virtual one.
        yield scheduler_main, "Lease", partial(Lease, clock=lambda: asyncio.get_running_loop().time())
        # Not an edge either: a record is a value, and every process makes the same one of the same bytes.
        yield Stored, "record", property(lambda stored: _value(stored.data))
        # Not an edge: the hub keeps these in sets, whose order would otherwise hang on addresses.
        yield Mailbox, "__hash__", _by_number()

    async def open_bus(self, *_: object, **__: object) -> SimulatedBus:
        """A connection of the process that asks."""
        life = lives.current()
        bus = self.buses[life.name] = SimulatedBus(self._server, life, self._rough, self._rng, self.lags)
        while not self._server.up:  # noqa: ASYNC110  # time is virtual: looking again costs nothing
            await asyncio.sleep(0.1)
        return bus

    async def lag(self, target: str, by: float, lasts: float) -> None:
        """For `lasts` seconds a stream tells a process (`target` names both) late. Its others don't, nor do calls."""
        process, stream = target.split()
        self.lags[process, stream] = by
        await asyncio.sleep(lasts)
        self.lags.pop((process, stream), None)

    @asynccontextmanager
    async def _serving(self, place: Place, door: Door, servicers: Iterable[object]) -> AsyncIterator[Endpoint]:
        del place, door
        endpoint = Endpoint(servicers, lives.current())
        self.endpoints.append(endpoint)
        try:
            yield endpoint
        finally:
            self.endpoints.remove(endpoint)

    def _comfyui(self, url: str) -> ComfyUI:
        return self._comfyuis[urlsplit(url).hostname or ""]

    async def _reach(self, comfyui: ComfyUI, doing: str) -> None:
        lives.current().check()
        await Pause(exponential(self._rng) * _HTTP_SECONDS)
        if not comfyui.up:
            raise ComfyUnreachable(doing, REASON_REFUSED, "nothing listens in the simulation")

    async def _return(self, comfyui: ComfyUI, lives_of_it: int, doing: str) -> None:
        await Pause(exponential(self._rng) * _HTTP_SECONDS * comfyui.pace)
        lives.current().check()
        if comfyui.deaths != lives_of_it:
            raise ComfyUnreachable(doing, REASON_BROKEN, "it died in the simulation")

    def _enter_method(self) -> Callable[..., Any]:
        async def enter(http: ComfyHttp) -> ComfyHttp:
            self._open.add(id(http))
            return http

        return enter

    def _leave_method(self) -> Callable[..., Any]:
        async def leave(http: ComfyHttp, *_: object) -> None:
            self._open.discard(id(http))

        return leave

    def _check_open(self, http: ComfyHttp) -> None:
        if id(http) not in self._open:
            raise RuntimeError("ComfyHttp is used outside of its context")

    def _http_method(self) -> Callable[..., Any]:
        async def call(
            http: ComfyHttp, method: str, path: str, timeout: float, body: Mapping[str, Any] | None = None
        ) -> Answer:
            del timeout
            self._check_open(http)
            comfyui, doing = self._comfyui(http.base_url), f"{method} {path}"
            lives.current().check()
            sent = json.loads(json.dumps(body)) if body else {}
            try:
                await self._reach(comfyui, doing)
            except asyncio.CancelledError:
                if comfyui.up and self._rng.random() < _ARRIVES:
                    comfyui.answer(method, path, sent)
                raise
            deaths = comfyui.deaths
            status, value = comfyui.answer(method, path, sent)
            await self._return(comfyui, deaths, doing)
            return Answer(doing, status, json.dumps(value).encode())

        return call

    def _view_method(self) -> Callable[..., Any]:
        async def view(http: ComfyHttp, file: OutputFile) -> AsyncIterator[bytes]:
            self._check_open(http)
            comfyui = self._comfyui(http.base_url)
            await self._reach(comfyui, "GET /view")
            deaths = comfyui.deaths
            data = comfyui.file(f"{file.subfolder}/{file.filename}")
            if data is None:
                raise OutputMissing("GET /view", 404, f"{file.filename} is not there")
            await self._return(comfyui, deaths, "GET /view")
            yield data

        return view

    def _poll_method(self) -> Callable[..., Any]:
        async def poll(runtime: AttachRuntime) -> Status:
            endpoint = await runtime.start()
            comfyui = self._comfyui(endpoint.base_url)
            lives.current().check()
            return Running() if comfyui.up else Absent()

        return poll

    def _connect(self, url: str, **_: object) -> _Connection:
        client_id = parse_qs(urlsplit(url).query)["clientId"][0]
        return _Connection(self._comfyui(url), client_id)


class _NoGpus(Nvml):
    def gpus(self) -> tuple[Gpu, ...]:
        return ()


class _HostClock(HostClock):
    """Keeps its notes on the simulated machine. The loop's time is that of all machines, which nobody sets."""

    def _steady(self) -> float:
        return asyncio.get_running_loop().time()

    def _read(self) -> Sequence[Offset]:
        return lives.current().machine.offsets

    def _write(self, offsets: Sequence[Offset]) -> None:
        lives.current().machine.offsets = offsets


class _Connection:
    """The client's side of an event socket, as the websockets library has it."""

    def __init__(self, comfyui: ComfyUI, client_id: str) -> None:
        self._comfyui = comfyui
        self._client_id = client_id
        self._socket = Socket()
        self.transport = self

    async def __aenter__(self) -> Self:
        lives.current().check()
        if not self._comfyui.up:
            raise ConnectionRefusedError("nothing listens in the simulation")
        self._socket = self._comfyui.open(self._client_id)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._comfyui.drop(self._client_id)

    def abort(self) -> None:
        """Break the connection."""
        self._socket.texts.put_nowait(None)

    async def send(self, text: str) -> None:
        """Say something; the simulated ComfyUI does not listen."""

    def hand_on(self, take: Callable[[str | bytes], None]) -> None:
        """Nothing comes by this way: each message waits until it is read, as one in pieces does."""

    async def recv(self) -> str:
        """The next message."""
        await asyncio.sleep(0)
        text = await self._socket.texts.get()
        lives.current().check()
        if text is None:
            raise ConnectionResetError("the simulated connection is broken")
        return text

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            yield await self.recv()


@lru_cache(maxsize=4096)
def _value(data: bytes) -> TaskRecord:
    return codec.decode(data)


def _by_number() -> Callable[[Any], int]:
    """A hash for objects that are hashed by their address: the order in which they were first hashed."""
    numbers = itertools.count(1)

    def by_number(thing: Any) -> int:
        number: int = thing.__dict__.setdefault("_simulated_number", None) or next(numbers)
        thing.__dict__["_simulated_number"] = number
        return number

    return by_number
