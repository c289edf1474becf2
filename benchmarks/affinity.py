"""A slice of a production trace, replayed against the real mesh: first come first served, and by the policy.

Emulators stand for GPUs. Executions and loads are a few dozen times shorter than they were, in the same proportion to
each other, so that an hour of the trace takes a minute. Both runs get the same requests at the same moments, each on a
mesh and emulators of its own that hold nothing at the beginning. The simulator replays the same slice.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks import graphs, ground
from benchmarks.figures import percentile
from comfymesh.client import AsyncClient, Task, TaskState
from comfymesh.scheduler.simulate.trace import LoadTimes, Request, read_quantiles, read_trace, scale

STEP_SECONDS = 0.05
_END_SECONDS = 900.0
_POLICIES = {"fifo": False, "mesh": True}
_LORA_KIND, _MODEL_KIND = "loras", "checkpoints"
_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Slice:
    """What is replayed.

    Attributes:
        requests: Path of the requests.
        model_loads: Path of the quantiles of a model's load time.
        lora_loads: The same of a LoRA's.
        first: Number of the first request.
        count: How many.
        gpus: Emulators.
        resident: Models that each can hold.
        utilisation: Share of the GPUs' time that executions alone take.
        speed: How many times shorter everything is.
        seed: Of the draw of load times.
    """

    requests: Path
    model_loads: Path
    lora_loads: Path
    first: int = 0
    count: int = 240
    gpus: int = 4
    resident: int = 1
    utilisation: float = 0.6
    speed: float = 20.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Course:
    """How one policy has done, in seconds of the replay; `loading` is the share of busy GPU time spent loading."""

    mean: float
    p99: float
    longest: float
    loading: float
    loads: float


@dataclass(frozen=True, slots=True)
class Affinity:
    """Both policies on the mesh, and their ratio in the simulator; None where there was none."""

    slice: Slice
    courses: Mapping[str, Course]
    simulated: float | None

    @property
    def ratio(self) -> float:
        """How many times shorter the mean time to a result is than first come, first served."""
        return self.courses["fifo"].mean / self.courses["mesh"].mean

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        what = f"{self.slice.count} requests, {self.slice.gpus} emulators, utilisation {self.slice.utilisation:g}"
        simulated = "not run" if self.simulated is None else f"{self.simulated:.1f} times"
        rows = [
            (f"**affinity** ({what}): mean time to result, shorter than fifo", f"**{self.ratio:.1f} times**"),
            ("affinity: the same in the simulator", simulated),
        ]
        for name, course in self.courses.items():
            figures = f"{course.mean:.2f} s / {course.p99:.2f} s / {course.longest:.2f} s"
            rows.append((f"affinity, {name}: mean / p99 / longest time to result", figures))
            share = f"{course.loading:.0%}, {course.loads:.0f} loads per 100 tasks"
            rows.append((f"affinity, {name}: busy time spent loading", share))
        return rows


async def measure(replayed: Slice) -> Affinity:
    """Replay the slice under both policies, and in the simulator."""
    short = compressed(read_trace(replayed.requests), replayed)
    courses = {name: await _course(replayed, short, affinity=affinity) for name, affinity in _POLICIES.items()}
    return Affinity(replayed, courses, await _simulated(replayed, short))


def compressed(requests: Sequence[Request], replayed: Slice) -> list[Request]:
    """The slice as it is replayed: runs in whole steps and shorter, arrivals to suit, all of one tenant. Pure.

    Raises:
        ValueError: the trace is not so long.
    """
    cut = requests[replayed.first : replayed.first + replayed.count]
    if len(cut) < replayed.count:
        raise ValueError(f"the trace has no {replayed.count} requests from number {replayed.first} on")
    steps = [max(1, round(request.run / replayed.speed / STEP_SECONDS)) for request in cut]
    short = [
        replace(request, run=count * STEP_SECONDS, tenant=_TENANT, loras=_loras(request))
        for request, count in zip(cut, steps, strict=True)
    ]
    return scale(short, replayed.gpus, replayed.utilisation)


def _loras(request: Request) -> tuple[str, ...]:
    """LoRAs as the simulator will name them for this tenant."""
    return tuple(f"{_TENANT}/{request.model}/lora-{number}" for number in range(len(request.loras)))


async def _course(replayed: Slice, requests: Sequence[Request], *, affinity: bool) -> Course:
    async with AsyncExitStack() as stack:
        arguments = _emulator(replayed, requests)
        emulators = [
            await stack.enter_async_context(ground.emulator(f"emulator-{i}", *arguments)) for i in range(replayed.gpus)
        ]
        environment = {"COMFYMESH_AGENT_LOOK_AHEAD": "0", "COMFYMESH_AGENT_PREVIEWS": "false"}
        mesh = await stack.enter_async_context(
            ground.mesh([emulator.url for emulator in emulators], environment=environment)
        )
        client = await stack.enter_async_context(AsyncClient(mesh.target))
        await client.update_policy({"affinity": affinity})
        return course(await _replay(client, requests))


async def _replay(client: AsyncClient, requests: Sequence[Request]) -> list[Task]:
    """Every request at its moment; answers the tasks once all have ended."""
    group, began = f"affinity-{uuid4().hex[:8]}", time.monotonic()

    async def create(request: Request) -> None:
        await asyncio.sleep(max(0.0, began + request.arrival - time.monotonic()))
        await client.create(graph(request), group=group)

    async with asyncio.TaskGroup() as creating:
        for request in requests:
            creating.create_task(create(request))

    async def ended() -> bool:
        return (await client.group(group).get()).end_time is not None

    await ground.until(ended, _END_SECONDS)
    return [task async for task in client.list(group=group, page_size=1000)]


def course(tasks: Sequence[Task]) -> Course:
    """The figures of tasks that have ended. Pure.

    Raises:
        RuntimeError: one did not succeed, or does not tell where its time went.
    """
    waits, loads, busy, loaded = list[float](), 0.0, 0.0, 0
    for task in tasks:
        if task.state is not TaskState.SUCCEEDED or not (task.timing and task.create_time and task.end_time):
            raise RuntimeError(f"{task.name} is {task.state} ({task.state_reason}), timing {task.timing}")
        waits.append((task.end_time - task.create_time).total_seconds())
        loads += task.timing.load.total_seconds()
        busy += (task.timing.load + task.timing.run).total_seconds()
        loaded += len(task.timing.loaded_models)
    mean = sum(waits) / len(waits)
    return Course(mean, percentile(waits, 99), max(waits), loads / busy, 100 * loaded / len(tasks))


def graph(request: Request) -> graphs.Graph:
    """A graph that takes as long as the request, of which a step is `STEP_SECONDS`. Pure."""
    made = graphs.steps(_file(request.model), round(request.run / STEP_SECONDS), 64)
    source: list[Any] = ["1", 0]
    for index, name in enumerate(request.loras):
        inputs = {
            "lora_name": _file(name),
            "strength_model": 1.0,
            "strength_clip": 1.0,
            "model": source,
            "clip": ["1", 1],
        }
        made[f"lora-{index}"] = {"class_type": "LoraLoader", "inputs": inputs}
        source = [f"lora-{index}", 0]
    made["4"]["inputs"]["model"] = source
    return made


def _emulator(replayed: Slice, requests: Sequence[Request]) -> list[str]:
    loads = LoadTimes(read_quantiles(replayed.model_loads), read_quantiles(replayed.lora_loads), replayed.seed)
    times = {f"{_MODEL_KIND}/{_file(request.model)}": loads.model(request.model) for request in requests}
    times |= {f"{_LORA_KIND}/{_file(name)}": loads.lora(name) for request in requests for name in request.loras}
    files = (("--model", f"{path}={seconds / replayed.speed:.4f}") for path, seconds in sorted(times.items()))
    # With a cache for results of graph nodes, loaders would not even be asked for models that have gone meanwhile.
    own = ("--step-seconds", str(STEP_SECONDS), "--resident", str(replayed.resident), "--cache-none")
    return [*own, *(word for pair in files for word in pair)]


def _file(name: str) -> str:
    return f"{name.replace('/', '-')}.safetensors"


async def _simulated(replayed: Slice, requests: Sequence[Request]) -> float | None:
    """The ratio in the simulator, with times as they were; None where there is no simulator."""
    with tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-") as directory:
        cut, out = Path(directory) / "requests.csv", Path(directory) / "out.json"
        _write(cut, replayed, requests)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comfymesh.scheduler.simulate", "--trace", str(cut)),
            *("--load-times", str(replayed.model_loads), "--lora-load-times", str(replayed.lora_loads)),
            *("--policy", *_POLICIES, "--gpus", str(replayed.gpus)),
            *("--utilisation", str(replayed.utilisation), "--resident", str(replayed.resident)),
            *("--seed", str(replayed.seed), "--json", str(out)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        if await process.wait():
            return None
        policies = json.loads(out.read_text())["policies"]
        return float(policies["fifo"]["mean_s"] / policies["mesh"]["mean_s"])


def _write(path: Path, replayed: Slice, requests: Sequence[Request]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["arrival_s", "exec_s", "tenant", "model", "num_lora", "kind", "images", "steps"])
        for request in requests:
            arrival, run = request.arrival * replayed.speed, request.run * replayed.speed
            steps = round(request.run / STEP_SECONDS)
            rows.writerow([arrival, run, request.tenant, request.model, len(request.loras), "TXT_2_IMG", 1, steps])
