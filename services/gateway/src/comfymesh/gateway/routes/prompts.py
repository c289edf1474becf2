"""Submitting, listing and stopping prompts."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping

from aiohttp import web

from comfymesh.client import Asset, Conflict
from comfymesh.comfyui.verdict import Verdict, judge
from comfymesh.gateway.bodies import ids_in, read_json, read_object
from comfymesh.gateway.domain import history, naming, submission
from comfymesh.gateway.domain.history import PENDING, RUNNING
from comfymesh.gateway.domain.refusals import refused
from comfymesh.gateway.domain.submission import ShapelessError, Submission
from comfymesh.gateway.mesh import Mesh, Offered, current_caller
from comfymesh.gateway.state import GATEWAY
from comfymesh.graphs import JsonValue

_MOST = 20_000
_BY_CLIENT = "stopped by a client of the gateway"


async def _submit(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    body = await read_json(request)
    asked = submission.read(body, time.time(), lambda: str(uuid.uuid4()))
    offered = await gateway.mesh.offered()
    files = await _files(gateway.mesh, asked.prompt, offered)
    verdict = await asyncio.to_thread(_judge, asked, offered, files)
    submission.check(verdict)
    graph = submission.chosen_part(verdict, asked.targets)
    uploads = submission.uploads(graph, offered.catalog)
    bound = {place: found for place, name in uploads.items() if (found := files.get(name)) is not None}
    try:
        task = await gateway.mesh.submit(asked, graph, bound)
    except Conflict as error:
        raise refused("prompt_id_taken", "There is another prompt of this id", error.message, status=409) from error
    gateway.audiences.note(current_caller(), task, asked.prompt_id)
    number = asked.marks.number
    return web.json_response({"prompt_id": asked.prompt_id, "number": number, "node_errors": verdict.node_errors})


async def _files(mesh: Mesh, graph: Mapping[str, JsonValue], offered: Offered) -> dict[str, Asset]:
    """The uploaded files that a graph names, by the names that it uses."""
    found = {}
    for named in set(submission.uploads(graph, offered.catalog).values()):
        name, kind = naming.split_annotation(named, "input")
        wanted = naming.upload_name(name) if kind == "input" else None
        asset = await mesh.find(wanted) if wanted else None
        if asset is not None:
            found[named] = asset
    return found


def _judge(asked: Submission, offered: Offered, files: Mapping[str, Asset]) -> Verdict:
    try:
        return judge(asked.prompt, offered.catalog, asked.targets, lambda name: name in files)
    except TypeError as error:
        raise ShapelessError from error


async def _remaining(request: web.Request) -> web.Response:
    found = await request.app[GATEWAY].mesh.tasks([*PENDING, *RUNNING], _MOST)
    return web.json_response({"exec_info": {"queue_remaining": len(found)}})


async def _queue(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    found = await gateway.mesh.tasks([*RUNNING, *PENDING], _MOST)
    most = gateway.settings.gateway_history_items
    # The oldest are the next ones to run.
    running = [task for task in reversed(found) if task.state in RUNNING][:most]
    pending = [task for task in reversed(found) if task.state in PENDING][:most]
    items = {prompt.task.name: history.item(prompt) for prompt in await gateway.mesh.prompts([*running, *pending])}
    return web.json_response(
        {
            "queue_running": [items[task.name] for task in running if task.name in items],
            "queue_pending": [items[task.name] for task in pending if task.name in items],
        }
    )


async def _change_queue(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    body = await read_object(request)
    waiting = await gateway.mesh.tasks(PENDING, _MOST) if body.get("clear") or body.get("delete") else []
    chosen = set(map(naming.task_id, ids_in(body, "delete")))
    gone = [task for task in waiting if body.get("clear") or task.name.removeprefix("tasks/") in chosen]
    await gateway.mesh.cancel(gone, _BY_CLIENT)
    return web.Response()


async def _interrupt(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    try:
        body = await read_object(request)
    except ShapelessError:
        body = {}
    prompt_id = body.get("prompt_id")
    if prompt_id:
        task = await gateway.mesh.task(str(prompt_id))
        running = [task] if task and task.state in RUNNING else []
    else:
        running = await gateway.mesh.tasks(RUNNING, _MOST)
    await gateway.mesh.cancel(running, _BY_CLIENT)
    return web.Response()


async def _free(request: web.Request) -> web.Response:
    # Instances look after their memory themselves, for all tenants: a client has nothing to say there.
    await read_object(request)
    return web.Response()


PROMPT_ROUTES = (
    web.post("/prompt", _submit),
    web.get("/prompt", _remaining),
    web.get("/queue", _queue),
    web.post("/queue", _change_queue),
    web.post("/interrupt", _interrupt),
    web.post("/free", _free),
)
