"""What becomes of accepted tasks when a part of the mesh is killed in the middle of them.

Each part is killed once with SIGKILL, in a run of its own, and started again by whoever started it, as a supervisor
would: 23 tasks of half a second have been accepted, two have ended, the others run or wait.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import graphs, ground
from comfymesh.client import AsyncClient, ComfyMeshError, NewTask, Task, TaskFailed
from comfymesh.stack.mesh import free_port
from comfymesh.stack.processes import Processes, Program

PARTS = ("agent", "nats", "api", "comfyui", "scheduler")
_TASKS = 23
_DONE = 2
_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the tasks of one run.

    Attributes:
        done: Told to have succeeded, with the picture's bytes in the client's hand.
        failed: Told to have ended otherwise.
        never_told: Nothing was told within a minute.
        made: Tasks of which ComfyUI has made a picture.
        twice: Pictures that it made beyond the first of a task.
        settled: Seconds from the part being up again until the last end was told.
    """

    done: int
    failed: int
    never_told: int
    made: int
    twice: int
    settled: float


@dataclass(frozen=True, slots=True)
class Faults:
    """Outcomes by the part that was killed."""

    outcomes: Mapping[str, Outcome]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [
            (
                f"{part} killed: done / told failed / never told / ran twice; settled",
                f"{o.done} / {o.failed} / {o.never_told} / {o.twice}; {o.settled:.1f} s",
            )
            for part, o in self.outcomes.items()
        ]


async def measure() -> Faults:
    """Kill each part in a run of its own."""
    return Faults({part: await _run(part) for part in PARTS})


async def _run(part: str) -> Outcome:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-")))
        port = free_port()
        command = (sys.executable, "-m", "comfymesh.emulator", "--port", str(port), "--base-directory", str(directory))
        comfy = await stack.enter_async_context(Processes([Program("comfyui", command)], directory / "logs"))
        mesh = await stack.enter_async_context(ground.mesh([f"http://127.0.0.1:{port}"]))
        client = await stack.enter_async_context(AsyncClient(mesh.target))
        await client.run(graphs.lasting(_SECONDS, "warm-up"))
        told = Told()
        answers = await client.create_many([NewTask(graphs.lasting(_SECONDS, f"task-{n}-of")) for n in range(_TASKS)])
        tasks = [answer for answer in answers if isinstance(answer, Task)]
        ends = [asyncio.create_task(told.follow(client, task)) for task in tasks]
        await ground.until(told.begun)
        up = await _kill(comfy if part == "comfyui" else mesh.processes, part)
        await asyncio.wait(ends, timeout=_PATIENCE_SECONDS)
        for end in ends:
            end.cancel()
        return Outcome(
            told.done,
            told.failed,
            _TASKS - told.done - told.failed,
            *made(await asyncio.to_thread(_pictures, directory)),
            max(0.0, told.last - up),
        )


async def _kill(processes: Processes, part: str) -> float:
    """Kill a part; answers when it was started again (`time.perf_counter()`)."""
    before = processes.pid(part)
    os.kill(before, signal.SIGKILL)
    await ground.until(lambda: _is_another(processes, part, before))
    return time.perf_counter()


async def _is_another(processes: Processes, part: str, than: int) -> bool:
    return processes.pid(part) != than


class Told:
    """What the client was told, and when it was told last."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.last = 0.0

    async def begun(self) -> bool:
        """Whether so many have ended that it is time to kill something."""
        return self.done >= _DONE

    async def follow(self, client: AsyncClient, task: Task) -> None:
        """Wait for the end of a task and fetch its picture. A call that is given up is made again."""
        while True:
            try:
                result = await client.result(task)
            except TaskFailed:
                self.failed += 1
            except ComfyMeshError:
                continue
            else:
                self.done += bool(result.artifacts[0].data)
            self.last = time.perf_counter()
            return


def _pictures(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("task-*.png")]


def made(pictures: Iterable[str]) -> tuple[int, int]:
    """Of how many tasks there are pictures, by their file names, and how many beyond the first of each. Pure."""
    counts = Counter(name.split("_")[0] for name in pictures)
    return len(counts), sum(counts.values()) - len(counts)
