"""Watches that are cancelled, by the hundred thousand: the api must not keep anything of them (grpc/grpc issue 43360).

The api runs in this process, whose memory is measured; the watchers are in another.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import grpc

from comfymesh.testkit.apis import BOOTSTRAP, GRAPH, local_api
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_service_pb2, task_service_pb2_grpc

_KEY = "COMFYMESH_SOAK_KEY"
_AT_ONCE = 50
_OBJECTS = 0.05
_BYTES = 50
_SLACK_BYTES = 4 * 1024 * 1024
"""The allocator takes and gives back so much as it likes, however many watches there were."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """The api after so many watches: bytes that it has in memory, and Python objects that the collector knows."""

    watches: int
    resident_bytes: int
    objects: int

    def __str__(self) -> str:
        mib = self.resident_bytes / 2**20
        return f"{self.watches:>8,} watches  {mib:7.1f} MiB  {self.objects:>9,} objects"


def grows(first: Sample, last: Sample) -> bool:
    """Whether watches leave something behind, from one sample to another."""
    watches, objects = last.watches - first.watches, last.objects - first.objects
    grown = last.resident_bytes - first.resident_bytes
    return objects > _OBJECTS * watches or grown > _SLACK_BYTES + _BYTES * watches


async def soak(directory: Path, watches: int, steps: int) -> list[Sample]:
    """Cancel so many watches; a sample after each of `steps` equal parts."""
    async with local_api(directory) as api:
        request = task_service_pb2.CreateTaskRequest(task={"graph_json": json.dumps(GRAPH)})
        name = (await api.call("TaskService/CreateTask", request)).task.name
        samples = []
        idle, part = len(asyncio.all_tasks()), watches // steps
        command = (sys.executable, "-m", __spec__.name, "--target", api.target, "--task", name, "--watches", str(part))
        for step in range(1, steps + 1):
            child = await asyncio.create_subprocess_exec(*command, env={**os.environ, _KEY: BOOTSTRAP})
            if await child.wait():
                raise click.ClickException("the watchers have failed")
            await until(lambda: len(asyncio.all_tasks()) <= idle, "the end of all watches")
            samples.append(_sample(step * part))
            click.echo(str(samples[-1]))
        return samples


async def cancelling(target: str, task: str, watches: int) -> None:
    """Open so many watches, some at once, and cancel each once it has told how the task stands."""
    left, known = iter(range(watches)), (("authorization", f"Bearer {os.environ[_KEY]}"),)
    async with grpc.aio.insecure_channel(target) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)

        async def one_after_the_other() -> None:
            for _ in left:
                call = stub.WatchTask(task_service_pb2.WatchTaskRequest(name=task), metadata=known)
                assert (await call.read()).HasField("task")
                call.cancel()

        await asyncio.gather(*(one_after_the_other() for _ in range(_AT_ONCE)))


def _sample(watches: int) -> Sample:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    return Sample(watches, resident, len(gc.get_objects()))


@click.command()
@click.option("--watches", default=100_000, show_default=True, help="How many are cancelled.")
@click.option("--steps", default=10, show_default=True, help="In so many parts, the first of which warms up.")
@click.option("--target", hidden=True)
@click.option("--task", hidden=True)
def main(watches: int, steps: int, target: str | None, task: str | None) -> None:
    """Cancel watches, and fail where the api keeps anything of them."""
    if target and task:
        asyncio.run(cancelling(target, task, watches))
        return
    with tempfile.TemporaryDirectory() as directory:
        samples = asyncio.run(soak(Path(directory), watches, steps))
    if grows(samples[0], samples[-1]):
        raise click.ClickException("the api keeps something of each watch")


if __name__ == "__main__":
    main()
