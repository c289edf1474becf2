"""Jobs: listing, reading, cancelling. They are registered below `/api` only."""

from __future__ import annotations

from aiohttp import web

from comfymesh.gateway.bodies import read_json
from comfymesh.gateway.domain import history, jobs, naming
from comfymesh.gateway.domain.submission import ShapelessError
from comfymesh.gateway.mesh import Mesh
from comfymesh.gateway.state import GATEWAY

_MOST = 10_000
_BY_CLIENT = "stopped by a client of the gateway"


async def _jobs(request: web.Request) -> web.Response:
    asked = jobs.question(request.query)
    if isinstance(asked, str):
        return web.json_response({"error": asked}, status=400)
    found = await request.app[GATEWAY].mesh.tasks(asked.states, _MOST)
    return web.json_response(jobs.answer(asked, found))


async def _job(request: web.Request) -> web.Response:
    mesh = request.app[GATEWAY].mesh
    task = await mesh.task(request.match_info["prompt_id"])
    shown = task is not None and (not task.state.final or history.is_shown(task))
    prompt = await mesh.prompt(task) if task is not None and shown else None
    if prompt is None:
        return web.json_response({"error": "Job not found"}, status=404)
    return web.json_response(jobs.whole_job(prompt))


async def _cancel(mesh: Mesh, prompt_ids: list[str]) -> bool:
    found = [task for each in prompt_ids if (task := await mesh.task(each)) is not None and not task.state.final]
    return await mesh.cancel(found, _BY_CLIENT) > 0


async def _cancel_one(request: web.Request) -> web.Response:
    cancelled = await _cancel(request.app[GATEWAY].mesh, [request.match_info["prompt_id"]])
    return web.json_response({"cancelled": cancelled})


async def _cancel_many(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    try:
        body = await read_json(request)
    except ShapelessError:
        return web.json_response({"error": "Request body must be valid JSON"}, status=400)
    ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list):
        return web.json_response({"error": "job_ids must be a list"}, status=400)
    if invalid := [str(each) for each in ids if not naming.is_prompt_id(each)]:
        return web.json_response({"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}, status=400)
    return web.json_response({"cancelled": await _cancel(gateway.mesh, list(map(str, ids)))})


JOB_ROUTES = (
    web.get("/api/jobs", _jobs),
    web.get("/api/jobs/{prompt_id}", _job),
    web.post("/api/jobs/cancel", _cancel_many),
    web.post("/api/jobs/{prompt_id}/cancel", _cancel_one),
)
