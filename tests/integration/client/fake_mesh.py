# ruff: noqa: N802, ARG002, FBT001 - gRPC names the methods and their arguments
"""A small ComfyMesh server for tests of its clients: real gRPC, no mesh behind it, misbehaves when told to.

What a task does is chosen by its `display_name`, one of the keys of `SCRIPTS`. Run as a program, it prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import aio
from PIL import Image

from comfymesh.v1 import (
    asset_pb2,
    asset_service_pb2,
    asset_service_pb2_grpc,
    error_reason_pb2,
    fleet_service_pb2,
    fleet_service_pb2_grpc,
    node_pb2,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)

PICTURE = bytes(range(256)) * 5000
"""More than one message of 1 MiB can hold."""

T = task_pb2.Task
P = task_pb2.TaskProgress
Event = tuple[str, Any]


def status_details(
    code: str, message: str, reason: str, *more: Any, metadata: dict[str, str] | None = None
) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata with rich error details."""
    status = status_pb2.Status(code=code_pb2.Code.Value(code), message=message)
    info = error_details_pb2.ErrorInfo(reason=reason, domain="comfymesh", metadata=metadata or {})
    for detail in (info, *more):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def violations(**fields: str) -> Any:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=name.replace("__", "."), description=text)
            for name, text in fields.items()
        ]
    )


async def refuse(context: Any, code: str, message: str, reason: str, *more: Any, **metadata: str) -> None:
    await context.abort(grpc.StatusCode[code], message, status_details(code, message, reason, *more, metadata=metadata))


def running(*, fraction: float, step: int = 0, **more: Any) -> Event:
    return "progress", P(
        attempt=1,
        phase=P.PHASE_EXECUTING,
        fraction=fraction,
        graph_nodes_done=int(fraction * 7),
        graph_node_count=7,
        graph_node="3",
        graph_node_class="KSampler",
        step=step,
        step_count=20 if step else 0,
        eta=duration_pb2.Duration(seconds=int((1 - fraction) * 20)),
        **more,
    )


EARLY = [
    task_pb2.Artifact(name=f"tasks/t1/artifacts/{letter * 64}", filename=f"{letter}.png", size_bytes=2048)
    for letter in "ab"
]
"""A server that was asked to go on tells them again."""


def happy(end: int = T.STATE_SUCCEEDED) -> list[Event]:
    """The usual course of a task, up to an end."""
    return [
        ("state", T.STATE_QUEUED),
        ("progress", P(phase=P.PHASE_WAITING, queue_position=3)),
        ("progress", P(phase=P.PHASE_WAITING, queue_position=1)),
        ("state", T.STATE_ASSIGNED),
        ("state", T.STATE_RUNNING),
        *(running(fraction=n / 20, step=n, artifacts=EARLY[n // 10 :][:1]) for n in range(1, 20)),
        ("preview", task_pb2.Preview(attempt=1, graph_node="3", media_type="image/jpeg", data=b"jpeg")),
        ("state", end),
    ]


def red_picture() -> bytes:
    """A preview that can be shown."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(file, "PNG")
    return file.getvalue()


SCRIPTS: dict[str, list[Event]] = {
    "": happy(),
    "fails": happy(T.STATE_FAILED),
    "cancelled": happy(T.STATE_CANCELLED),
    "expires": [("state", T.STATE_QUEUED), ("state", T.STATE_EXPIRED)],
    "stepwise": [*happy()[:2], ("asked", 1), *happy()[3:13], ("asked", 2), *happy()[13:]],
    "hangs": [
        ("state", T.STATE_QUEUED),
        ("state", T.STATE_RUNNING),
        running(fraction=0.4, step=8),
        ("preview", task_pb2.Preview(attempt=1, graph_node="3", media_type="image/png", data=red_picture())),
        ("hang", None),
        ("state", T.STATE_SUCCEEDED),
    ],
}


@dataclass
class FakeMesh:
    """What the server holds, what it saw, and how it misbehaves.

    Attributes:
        cut_after: For each further stream, after how many messages it breaks.
        cut_code: With which code it breaks.
        filenames: Names of the artifacts that every task makes.
        lose_chunks: Leave artifact chunks out of RunTask.
        together: Send them with the final state.
        damage: Spoil the artifacts' bytes.
        unavailable: How many further unary calls are refused with UNAVAILABLE.
        cancelled: How many further ones are cancelled, as by a server that stops.
        ends_early: How many further streams end with OK before the final state.
        largest_asset: Bytes after which an upload is refused in the middle.
        refusal: Code, message and reason with which every task call is refused.
        released: Lets the tasks of the script "hangs" go on.
    """

    cut_after: list[int] = field(default_factory=list)
    cut_code: str = "UNAVAILABLE"
    filenames: tuple[str, ...] = ("ComfyUI_00001_.png",)
    lose_chunks: bool = False
    together: bool = False
    damage: bool = False
    unavailable: int = 0
    cancelled: int = 0
    ends_early: int = 0
    refusal: tuple[str, str, str] | None = None
    largest_asset: int = 1 << 40
    tasks: dict[str, Any] = field(default_factory=dict)
    scripts: dict[str, list[Event]] = field(default_factory=dict)
    by_request_id: dict[str, str] = field(default_factory=dict)
    assets: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    released: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    server: aio.Server | None = None
    port: int = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def called(self, name: str) -> list[Any]:
        return [request for called, request in self.calls if called == name]

    async def start(self) -> None:
        self.server = aio.server(options=(("grpc.so_reuseport", 0),))
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(Tasks(self), self.server)
        asset_service_pb2_grpc.add_AssetServiceServicer_to_server(Assets(self), self.server)
        fleet_service_pb2_grpc.add_FleetServiceServicer_to_server(Fleet(self), self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(0)

    async def until_asked(self, times: int) -> None:
        """Wait until GetTask was called so often: a test in another process lets a script go on so."""
        while len(self.called("GetTask")) < times:  # noqa: ASYNC110  # whoever calls tells nobody
            await asyncio.sleep(0.01)

    def create(self, request: Any) -> Any:
        if request.request_id in self.by_request_id:
            return self.tasks[self.by_request_id[request.request_id]]
        name = f"tasks/{request.task_id or f't{len(self.tasks) + 1}'}"
        self.tasks[name] = T(name=name, display_name=request.task.display_name, labels=request.task.labels)
        self.tasks[name].create_time.GetCurrentTime()
        self.tasks[name].state = T.STATE_QUEUED
        self.scripts[name] = SCRIPTS[request.task.display_name]
        self.by_request_id[request.request_id] = name
        return self.tasks[name]

    def picture(self, name: str) -> bytes:
        return PICTURE + name.encode()

    def enter(self, name: str, state: int) -> Any:
        """The task in a state."""
        task = T()
        task.CopyFrom(self.tasks[name])
        task.state = state
        if state >= T.STATE_RUNNING:
            task.attempt, task.node, task.instance = 1, "nodes/gpu-1", "comfyui-0"
        if state == T.STATE_SUCCEEDED:
            task.artifacts.extend(self.artifact(name, index) for index in range(len(self.filenames)))
        if state == T.STATE_FAILED:
            task.error.CopyFrom(
                task_pb2.TaskError(
                    reason=error_reason_pb2.ERROR_REASON_NODE_EXCEPTION,
                    message="Graph node 3 (KSampler) raised RuntimeError: \x1b[31mmat1 and mat2\x1b[0m differ",
                    metadata={"graph_node": "3", "exception_type": "RuntimeError"},
                    traceback="Traceback (most recent call last):\n  File sampler.py, line 3",
                )
            )
        if state == T.STATE_CANCELLED:
            task.state_reason = "Cancelled by its owner."
        self.tasks[name] = task
        return task

    def artifact(self, task: str, index: int) -> Any:
        data = self.picture(self.filenames[index])
        return task_pb2.Artifact(
            name=f"{task}/artifacts/a{index}",
            filename=self.filenames[index],
            media_type="image/png",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            graph_node="9",
            output_key="images",
            kind=task_pb2.Artifact.KIND_OUTPUT,
        )

    def bytes_of(self, artifact: str) -> bytes:
        data = self.picture(self.filenames[int(artifact.rsplit("/a", 1)[1])])
        return data[:-1] + b"?" if self.damage else data


@dataclass
class Stream:
    """Counts the messages of one stream and breaks it when it is due."""

    mesh: FakeMesh
    context: Any

    def __post_init__(self) -> None:
        self.left = self.mesh.cut_after.pop(0) if self.mesh.cut_after else None

    async def send(self, message: Any) -> None:
        if self.left == 0:
            await self.context.abort(grpc.StatusCode[self.mesh.cut_code], "cut by the test")
        if self.left is not None:
            self.left -= 1
        await self.context.write(message)


class Tasks(task_service_pb2_grpc.TaskServiceServicer):
    def __init__(self, mesh: FakeMesh) -> None:
        self.mesh = mesh

    async def check(self, name: str, request: Any, context: Any) -> None:
        self.mesh.calls.append((name, request))
        if self.mesh.unavailable:
            self.mesh.unavailable -= 1
            await refuse(context, "UNAVAILABLE", "The bus is away.", "BUS_UNAVAILABLE")
        if self.mesh.cancelled:
            self.mesh.cancelled -= 1
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        if self.mesh.refusal:
            await refuse(context, *self.mesh.refusal)
        named = getattr(request, "name", "")
        if named and named not in self.mesh.tasks:
            info = error_details_pb2.ResourceInfo(resource_type="comfymesh.v1.Task", resource_name=named)
            await refuse(context, "NOT_FOUND", f"There is no task {named}.", "TASK_NOT_FOUND", info)

    async def check_graph(self, request: Any, context: Any) -> None:
        try:
            graph = json.loads(request.task.graph_json)
        except ValueError:
            await refuse(context, "INVALID_ARGUMENT", "The graph is not JSON.", "GRAPH_UNPARSABLE")
            return
        if "nodes" in graph:
            text = "This is the export of the canvas. Use Workflow > Export (API) and send that file."
            await refuse(context, "INVALID_ARGUMENT", text, "GRAPH_UNPARSABLE", problem="UI_FORMAT")
        if "bad" in graph:
            found = violations(graph__3__seed="5 is too small.", graph__4__class="There is no class Foo.")
            await refuse(
                context,
                "INVALID_ARGUMENT",
                "ComfyUI would refuse the graph.",
                "INVALID_WORKFLOW",
                found,
            )

    async def CreateTask(self, request: Any, context: Any) -> Any:
        await self.check("CreateTask", request, context)
        await self.check_graph(request, context)
        return task_service_pb2.CreateTaskResponse(task=self.mesh.create(request))

    async def GetTask(self, request: Any, context: Any) -> Any:
        await self.check("GetTask", request, context)
        return task_service_pb2.GetTaskResponse(task=self.mesh.tasks[request.name])

    async def ListTasks(self, request: Any, context: Any) -> Any:
        await self.check("ListTasks", request, context)
        tasks = [
            task for task in reversed(self.mesh.tasks.values()) if not request.states or task.state in request.states
        ]
        start = int(request.page_token or 0)
        end = start + (request.page_size or 50)
        token = str(end) if end < len(tasks) else ""
        return task_service_pb2.ListTasksResponse(tasks=tasks[start:end], next_page_token=token)

    async def CancelTask(self, request: Any, context: Any) -> Any:
        await self.check("CancelTask", request, context)
        task = self.mesh.tasks[request.name]
        if task.state in (T.STATE_SUCCEEDED, T.STATE_FAILED, T.STATE_EXPIRED):
            text = f"{request.name} has already ended."
            await refuse(context, "FAILED_PRECONDITION", text, "TASK_ALREADY_FINISHED")
        self.mesh.scripts[request.name] = [
            *self.mesh.scripts[request.name][:3],
            ("state", T.STATE_CANCELLED),
        ]
        self.mesh.released[request.name].set()
        return task_service_pb2.CancelTaskResponse(task=self.mesh.enter(request.name, T.STATE_CANCELLING))

    async def RunTask(self, request: Any, context: Any) -> None:
        await self.check("RunTask", request, context)
        await self.check_graph(request, context)
        name = self.mesh.create(request).name
        stream = Stream(self.mesh, context)
        await self.play(name, 0, self.answer, request.include_previews, stream)
        if self.mesh.together:
            return
        if request.include_artifacts and not self.mesh.lose_chunks:
            for artifact in self.mesh.tasks[name].artifacts:
                data = self.mesh.bytes_of(artifact.name)
                for at in range(0, len(data), 1 << 20):
                    chunk = task_service_pb2.ArtifactChunk(
                        artifact=artifact.name, offset_bytes=at, data=data[at : at + (1 << 20)]
                    )
                    await stream.send(task_service_pb2.RunTaskResponse(artifact_chunk=chunk))

    def answer(self, **fields: Any) -> Any:
        """A message of RunTask; a final one brings the artifacts where they are to come together."""
        message = task_service_pb2.RunTaskResponse(**fields)
        for artifact in message.task.artifacts if self.mesh.together else ():
            message.artifact_chunks.add(artifact=artifact.name, data=self.mesh.bytes_of(artifact.name))
        return message

    async def WatchTask(self, request: Any, context: Any) -> None:
        await self.check("WatchTask", request, context)
        begin = int(request.resume_token or 0)
        stream = Stream(self.mesh, context)
        answer = task_service_pb2.WatchTaskResponse
        if not begin:
            await stream.send(answer(task=self.mesh.tasks[request.name]))
            if self.mesh.tasks[request.name].state >= T.STATE_SUCCEEDED:
                return
        await self.play(request.name, begin, answer, request.include_previews, stream)

    async def play(self, name: str, begin: int, answer: Any, previews: bool, stream: Stream) -> None:
        if self.mesh.ends_early:
            self.mesh.ends_early -= 1
            return
        for index in range(begin, len(self.mesh.scripts[name])):
            script = self.mesh.scripts[name]
            if index >= len(script):
                return
            kind, value = script[index]
            if kind == "hang":
                await self.mesh.released[name].wait()
            elif kind == "asked":
                await self.mesh.until_asked(value)
            elif kind == "state":
                await stream.send(answer(task=self.mesh.enter(name, value), resume_token=str(index + 1)))
            elif kind != "preview" or previews:
                await stream.send(answer(**{kind: value}, resume_token=str(index + 1)))


class Assets(asset_service_pb2_grpc.AssetServiceServicer):
    def __init__(self, mesh: FakeMesh) -> None:
        self.mesh = mesh

    async def BeginUpload(self, request: Any, context: Any) -> Any:
        upload = asset_pb2.Upload(name=f"uploads/{request.sha256}", size_bytes=request.size_bytes)
        return asset_service_pb2.BeginUploadResponse(upload=upload)

    async def UploadAsset(self, requests: Any, context: Any) -> Any:
        if self.mesh.unavailable:
            self.mesh.unavailable -= 1
            await refuse(context, "UNAVAILABLE", "The store is away.", "BUS_UNAVAILABLE")
        header, data = None, b""
        async for request in requests:
            if len(data) > self.mesh.largest_asset:
                await refuse(context, "INVALID_ARGUMENT", "The asset is too large.", "MESSAGE_TOO_LARGE")
            header = request.header if request.HasField("header") else header
            data += request.data
        self.mesh.calls.append(("UploadAsset", header))
        digest = hashlib.sha256(data).hexdigest()
        if header is None or digest not in {header.sha256, header.upload.removeprefix("uploads/")}:
            await refuse(context, "INVALID_ARGUMENT", "The hash differs.", "CONTENT_MISMATCH")
            return None
        self.mesh.assets[f"assets/{digest}"] = data
        asset = asset_pb2.Asset(name=f"assets/{digest}", filename=header.filename, size_bytes=len(data), sha256=digest)
        return asset_service_pb2.UploadAssetResponse(asset=asset)

    async def ReadArtifact(self, request: Any, context: Any) -> None:
        self.mesh.calls.append(("ReadArtifact", request))
        task, index = request.name.rsplit("/artifacts/a", 1)
        artifact = self.mesh.artifact(task, int(index))
        stream = Stream(self.mesh, context)
        await stream.send(asset_service_pb2.ReadArtifactResponse(artifact=artifact))
        data = self.mesh.bytes_of(request.name)
        for at in range(request.offset_bytes, len(data), 1 << 19):
            await stream.send(asset_service_pb2.ReadArtifactResponse(data=data[at : at + (1 << 19)]))


class Fleet(fleet_service_pb2_grpc.FleetServiceServicer):
    def __init__(self, mesh: FakeMesh) -> None:
        self.mesh = mesh

    async def ListNodes(self, request: Any, context: Any) -> Any:
        instance = node_pb2.Instance(
            name="comfyui-0",
            state=node_pb2.Instance.STATE_BUSY,
            comfyui_version="0.3.60",
            runtime="docker",
            slots=2,
            held_attempts=1,
        )
        node = node_pb2.Node(
            name=f"nodes/gpu-{1 if not request.page_token else 2}",
            state=node_pb2.Node.STATE_ACTIVE,
            availability=node_pb2.Node.AVAILABILITY_OPEN,
            gpus=[node_pb2.Gpu(uuid="GPU-1", model="NVIDIA H200", memory_bytes=141 << 30)],
            instances=[instance],
            agent_version="0.1.0",
        )
        node.last_report_time.GetCurrentTime()
        return fleet_service_pb2.ListNodesResponse(nodes=[node], next_page_token="" if request.page_token else "2")


async def serve() -> None:
    mesh = FakeMesh(filenames=tuple(sys.argv[1:]) or ("ComfyUI_00001_.png",))
    await mesh.start()
    print(mesh.port, flush=True)  # noqa: T201 - this is how the parent learns it
    await asyncio.to_thread(sys.stdin.read)
    await mesh.stop()


if __name__ == "__main__":
    asyncio.run(serve())
