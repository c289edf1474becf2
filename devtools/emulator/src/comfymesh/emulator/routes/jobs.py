"""Jobs: listing, reading, cancelling. They are registered below ``/api`` only."""

from __future__ import annotations

import re

from aiohttp import web

from comfymesh.emulator.emulator import EMULATOR, Emulator
from comfymesh.emulator.jobs import STATES, Job, finished_job, queued_job, sorted_jobs
from comfymesh.emulator.routes.bodies import read_json

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _all_jobs(emulator: Emulator) -> list[Job]:
    snapshot = emulator.queue.snapshot()
    return [
        *(queued_job(prompt, "in_progress") for prompt in snapshot.running),
        *(queued_job(prompt, "pending") for prompt in snapshot.pending),
        *(finished_job(prompt_id, entry) for prompt_id, entry in emulator.queue.history().items()),
    ]


async def _jobs(request: web.Request) -> web.Response:
    query = request.query
    problem = _problem(query.get("status"), query.get("sort_by"), query.get("sort_order"))
    limit, offset = _integer(query.get("limit")), _integer(query.get("offset", "0"))
    problem = problem or _limit_problem(query.get("limit"), limit)
    if offset is None:
        problem = problem or "offset must be an integer"
    if problem is not None:
        return web.json_response({"error": problem}, status=400)
    jobs = _filtered(_all_jobs(request.app[EMULATOR]), query.get("status"), query.get("workflow_id"))
    descending = query.get("sort_order", "desc").lower() == "desc"
    jobs = sorted_jobs(jobs, query.get("sort_by", "created_at"), descending=descending)
    start = max(0, offset or 0)
    page = jobs[start:] if limit is None else jobs[start : start + limit]
    pagination = {
        "offset": start,
        "limit": limit,
        "total": len(jobs),
        "has_more": start + len(page) < len(jobs),
    }
    return web.json_response({"jobs": page, "pagination": pagination})


def _problem(status: str | None, sort_by: str | None, sort_order: str | None) -> str | None:
    unknown = [name for name in _names(status) if name not in STATES]
    if unknown:
        return f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATES)}"
    if sort_by not in {None, "created_at", "execution_duration"}:
        return "sort_by must be 'created_at' or 'execution_duration'"
    if sort_order is not None and sort_order.lower() not in {"asc", "desc"}:
        return "sort_order must be 'asc' or 'desc'"
    return None


def _limit_problem(text: str | None, limit: int | None) -> str | None:
    if text is None:
        return None
    if limit is None:
        return "limit must be an integer"
    return None if limit > 0 else "limit must be a positive integer"


def _names(status: str | None) -> list[str]:
    return [name.strip().lower() for name in (status or "").split(",") if name.strip()]


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _filtered(jobs: list[Job], status: str | None, workflow_id: str | None) -> list[Job]:
    wanted = _names(status)
    return [
        job
        for job in jobs
        if (not wanted or job["status"] in wanted) and (workflow_id is None or job.get("workflow_id") == workflow_id)
    ]


async def _job(request: web.Request) -> web.Response:
    queue, prompt_id = request.app[EMULATOR].queue, request.match_info["prompt_id"]
    snapshot = queue.snapshot()
    for state, prompts in (("in_progress", snapshot.running), ("pending", snapshot.pending)):
        for prompt in prompts:
            if prompt.id == prompt_id:
                return web.json_response(queued_job(prompt, state))
    entry = queue.entry(prompt_id)
    if entry is None:
        return web.json_response({"error": "Job not found"}, status=404)
    return web.json_response(finished_job(prompt_id, entry, whole=True))


def _cancel(emulator: Emulator, prompt_id: str) -> bool:
    if emulator.queue.is_running(prompt_id):
        emulator.interrupt()
        return True
    return emulator.queue.delete(prompt_id)


async def _cancel_one(request: web.Request) -> web.Response:
    return web.json_response({"cancelled": _cancel(request.app[EMULATOR], request.match_info["prompt_id"])})


async def _cancel_many(request: web.Request) -> web.Response:
    try:
        body = await read_json(request)
    except ValueError:
        return web.json_response({"error": "Request body must be valid JSON"}, status=400)
    ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list):
        return web.json_response({"error": "job_ids must be a list"}, status=400)
    invalid = [str(item) for item in ids if not isinstance(item, str) or not _UUID.fullmatch(item)]
    if invalid:
        answer = {"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}
        return web.json_response(answer, status=400)
    cancelled = [_cancel(request.app[EMULATOR], str(prompt_id)) for prompt_id in ids]
    return web.json_response({"cancelled": any(cancelled)})


JOB_ROUTES = (
    web.get("/api/jobs", _jobs),
    web.get("/api/jobs/{prompt_id}", _job),
    web.post("/api/jobs/cancel", _cancel_many),
    web.post("/api/jobs/{prompt_id}/cancel", _cancel_one),
)
