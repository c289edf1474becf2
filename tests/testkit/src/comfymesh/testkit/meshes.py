"""A whole mesh of real processes for a test, with handles on everything that a test may want to break."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import grpc

from comfymesh.client import AsyncClient, Availability, Conflict, Instance, InstanceState, TaskState
from comfymesh.stack import mesh, processes
from comfymesh.stack.processes import Processes, Program
from comfymesh.testkit import graphs, holding
from comfymesh.testkit.waiting import until
from comfymesh.v1 import (
    asset_service_pb2_grpc,
    dead_letter_service_pb2_grpc,
    fleet_service_pb2_grpc,
    group_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)

State = task_pb2.Task.State
FINAL = {State.STATE_SUCCEEDED, State.STATE_FAILED, State.STATE_CANCELLED, State.STATE_EXPIRED}
_UNENDED = [state for state in TaskState if not state.final and state is not TaskState.UNKNOWN]
SERVING = {InstanceState.READY, InstanceState.BUSY}


class LocalMesh:
    """A mesh that runs: stubs and an SDK client for it, and its processes by name.

    Args:
        up: The mesh.
        directory: Where its data and logs are.
        channel: A channel to its API.
        client: An SDK client for its API.
        others: Processes beside those of the mesh.
    """

    def __init__(
        self,
        up: mesh.Mesh,
        directory: Path,
        channel: grpc.aio.Channel,
        client: AsyncClient,
        others: Sequence[Processes],
    ) -> None:
        self.target = up.target
        self.nats_url = up.nats_url
        self.directory = directory
        self.client = client
        self.tasks = task_service_pb2_grpc.TaskServiceStub(channel)
        self.groups = group_service_pb2_grpc.GroupServiceStub(channel)
        self.dead_letters = dead_letter_service_pb2_grpc.DeadLetterServiceStub(channel)
        self.assets = asset_service_pb2_grpc.AssetServiceStub(channel)
        self.fleet = fleet_service_pb2_grpc.FleetServiceStub(channel)
        self._all = (up.processes, *others)
        self._held: list[str] = []
        self._frozen: list[str] = []

    call_error = grpc.aio.AioRpcError
    """What a call that fails raises."""

    # Tasks

    async def create(self, graph: graphs.Graph, **fields: Any) -> task_pb2.Task:
        """Create a task; `fields` are of the task."""
        request = task_service_pb2.CreateTaskRequest(task=task_of(graph, **fields))
        answer: task_service_pb2.CreateTaskResponse = await self.tasks.CreateTask(request)
        return answer.task

    async def get(self, name: str) -> task_pb2.Task:
        """A task as it stands."""
        answer: task_service_pb2.GetTaskResponse = await self.tasks.GetTask(task_service_pb2.GetTaskRequest(name=name))
        return answer.task

    async def watch(self, name: str, **request: Any) -> list[task_service_pb2.WatchTaskResponse]:
        """Everything that WatchTask tells until it ends."""
        call = self.tasks.WatchTask(task_service_pb2.WatchTaskRequest(name=name, **request))
        return [message async for message in call]

    async def watching(self, name: str) -> asyncio.Future[list[task_service_pb2.WatchTaskResponse]]:
        """Begin to watch a task, which tells how it stands; what is answered brings everything that is told to its end.

        No change that comes after this is missed, however soon another one follows it. Who looks at the task again and
        again misses what others change at once, such as why it was handed back.
        """
        told = aiter(self.tasks.WatchTask(task_service_pb2.WatchTaskRequest(name=name)))
        first = await anext(told)

        async def all_of_it() -> list[task_service_pb2.WatchTaskResponse]:
            return [first, *[message async for message in told]]

        return asyncio.ensure_future(all_of_it())

    async def until_state(self, name: str, *states: State) -> task_pb2.Task:
        """A task once it is in one of the states."""

        async def look() -> task_pb2.Task | None:
            try:
                task = await self.get(name)
            except self.call_error:
                return None  # Something is being started again, perhaps.
            assert task.state in states or task.state not in FINAL, f"the task ended otherwise: {task}"
            return task if task.state in states else None

        return await until(look, f"{name} in {[State.Name(state) for state in states]}")

    async def finished(self, name: str) -> task_pb2.Task:
        """A task once it has ended."""
        return await self.until_state(name, *FINAL)

    async def until_serving(self, count: int = 1, serves: Callable[[Instance], bool] | None = None) -> None:
        """Wait until so many instances serve."""
        so = serves or (lambda instance: instance.state in SERVING)

        async def look() -> bool:
            nodes = await self.client.nodes()
            active = [node for node in nodes if node.state == "ACTIVE" and node.availability == "OPEN"]
            return sum(so(instance) for node in active for instance in node.instances) >= count

        await until(look, f"{count} instances that serve")

    # Processes

    def process(self, name: str) -> asyncio.subprocess.Process:
        """The process that runs now under a name."""
        return self._home(name)._running[name]

    def log(self, name: str) -> str:
        """What a process wrote."""
        return self._home(name).log(name).read_text(errors="replace")

    async def kill(self, name: str) -> None:
        """Kill a process; it is started again at once, as a supervisor would."""
        process = self.process(name)
        process.kill()
        await process.wait()
        await until(lambda: self.process(name) is not process, f"a new {name}")

    def configure(self, name: str, settings: dict[str, str]) -> None:
        """Have a process started with these settings from now on."""
        (program,) = (program for program in self._home(name)._programs if program.name == name)
        assert isinstance(program.environment, dict)
        program.environment.update(settings)

    async def hold(self, name: str) -> None:
        """Kill a process and keep it away until `release`."""
        self._held.append(name)
        await holding.hold(self._home(name), name)

    async def release(self, name: str) -> None:
        """Start a process again that is held, and keep it alive from now on."""
        self._held.remove(name)
        await holding.release(self._home(name), name)

    def freeze(self, name: str) -> None:
        """Let a process stand still until `thaw`, with its connections open."""
        holding.freeze(self.process(name))
        self._frozen.append(name)

    def thaw(self, name: str) -> None:
        """Let a process go on that stands still."""
        self._frozen.remove(name)
        self.process(name).send_signal(signal.SIGCONT)

    async def restore(self) -> None:
        """Let go on and start again what a test that failed has left standing or away."""
        for name in list(self._frozen):
            self.thaw(name)
        for name in list(self._held):
            await self.release(name)

    async def clear(self) -> None:
        """Open nodes and cancel tasks that a test has left behind, so that the next one finds every slot free."""
        for node in await self.client.nodes():
            if node.wanted_availability is not Availability.OPEN:
                await self.client.uncordon_node(node)
        left = [task async for task in self.client.list(states=_UNENDED)]
        for task in left:
            with suppress(Conflict):  # It has ended meanwhile.
                await self.client.cancel(task)
        for task in left:
            await self.finished(task.name)
        await until(self._is_open, "nodes that are open again")

    async def _is_open(self) -> bool:
        return all(node.availability is Availability.OPEN for node in await self.client.nodes())

    async def terminate(self, name: str) -> int:
        """Ask a process to end; answers its exit code, once another one runs in its place."""
        code = await holding.terminate(self._home(name), name)
        await until(lambda: self.process(name).returncode is None, f"a new {name}")
        return code

    def comfyui(self, agent: int = 0, name: str = "comfyui-0") -> tuple[int, str]:
        """Process id and URL of an instance of the process runtime; 0 and nothing while it is being started."""
        return mesh.comfyui(self.directory, name, agent)

    async def kill_comfyui(self) -> None:
        """Kill the instance of the process runtime; another one, which holds no model, serves after that."""
        # Process 0 would be this one, and all of its group.
        pid = await until(lambda: self.comfyui()[0], "an instance")
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self.comfyui()[0] not in {0, pid}, "a new instance")
        await self.until_serving()

    async def comfyui_queue(self, url: str = "") -> tuple[int, int]:
        """How many prompts a ComfyUI executes, and how many wait there; by default the one of the process runtime."""
        async with aiohttp.ClientSession() as http, http.get(f"{url or self.comfyui()[1]}/queue") as answer:
            queue = await answer.json()
        return len(queue["queue_running"]), len(queue["queue_pending"])

    def _home(self, name: str) -> Processes:
        return next(processes for processes in self._all if name in processes._running)


@asynccontextmanager
async def local_mesh(
    directory: Path,
    *,
    instances: Sequence[dict[str, Any]] | None = None,
    environment: dict[str, str] | None = None,
    agents: int = 1,
    notifier: bool = False,
    beside: Sequence[Program] = (),
) -> AsyncIterator[LocalMesh]:
    """Run a mesh; by default with one emulator that its agent starts. `beside` are further programs.

    However long a busy machine takes to start an agent again, its node does not count as lost, unless `environment` has
    another COMFYMESH_SCHEDULER_REPORT_TTL.
    """
    chosen = [mesh.emulated("--step-seconds", "0.01", "--load-seconds", "0.01")] if instances is None else instances
    settings = {"COMFYMESH_SCHEDULER_REPORT_TTL": "60", **(environment or {})}
    plan = mesh.MeshPlan(directory, chosen, "127.0.0.1:0", settings, agents, notifier)
    async with AsyncExitStack() as stack:
        # Tests kill often; what dies is started again without the pauses that a crash loop would need.
        stack.enter_context(patch.object(processes, "_LONGEST_WAIT", 0.2))
        others = await stack.enter_async_context(Processes(beside, directory / "logs"))
        up = await stack.enter_async_context(mesh.running(plan))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(up.target, options=_OPTIONS))
        client = await stack.enter_async_context(AsyncClient(up.target))
        made = LocalMesh(up, directory, channel, client, [others])
        await made.until_serving(agents, mesh.ready)
        yield made


_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 0),
)


def task_of(graph: graphs.Graph, **fields: Any) -> task_pb2.Task:
    """A task to be created."""
    return task_pb2.Task(graph_json=graphs.text(graph), **fields)


def states_of(messages: Sequence[Any]) -> list[str]:
    """The states that a stream told, in order."""
    changed = [message for message in messages if message.HasField("task")]
    told = [task.state for message in changed for task in (*getattr(message, "passed", ()), message.task)]
    return [State.Name(state).removeprefix("STATE_") for state in told]


def is_course(states: Sequence[str]) -> bool:
    """Whether these are the states of a task that ran well at once, from the first of them on to its end.

    A run of a few milliseconds is not told as RUNNING.
    """
    whole = ["QUEUED", "ASSIGNED", "RUNNING", "SUCCEEDED"]
    short = [state for state in whole if state != "RUNNING"]
    return any(list(states) == course[-len(states) :] for course in (whole, short)) and len(states) > 0
