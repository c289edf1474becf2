"""Submitting, listing and stopping prompts."""

from __future__ import annotations

import json
import re
import uuid
from typing import cast

from aiohttp import web

from comfymesh.comfyui.verdict import error, judge
from comfymesh.emulator.emulator import EMULATOR, Emulator
from comfymesh.emulator.faults import Fault
from comfymesh.emulator.partial import without_first_output
from comfymesh.emulator.prompt_queue import Prompt
from comfymesh.emulator.routes.bodies import ids_in, read_object
from comfymesh.graphs import JsonValue

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


async def _submit(request: web.Request) -> web.Response:
    status, answer = submit(request.app[EMULATOR], await request.read())
    return web.json_response(answer, status=status)


def submit(emulator: Emulator, data: bytes) -> tuple[int, JsonValue]:
    """Takes a prompt, or refuses it; returns HTTP status and answer.

    Raises:
        Exception: Of any kind, as the real server; it answers 500.
    """
    body: JsonValue = json.loads(data)
    number = _number(emulator, body)
    if not isinstance(body, dict) or "prompt" not in body:
        return _refused(error("no_prompt", "No prompt provided", "No prompt provided"))
    prompt_id = _prompt_id(body)
    if prompt_id is None:
        details = (
            "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server "
            "generate one"
        )
        return _refused(error("invalid_prompt_id", "prompt_id must be a valid UUID", details))
    emulator.log_line("got prompt\n")
    targets = cast("list[str] | None", body.get("partial_execution_targets"))
    prompt = cast("dict[str, JsonValue]", body["prompt"])
    verdict = judge(prompt, emulator.catalog(), targets, lambda name: emulator.folders.find(name) is not None)
    if verdict.error is not None:
        return _refused(verdict.error, verdict.node_errors)
    if emulator.faults.is_on(Fault.PARTIAL_OUTPUTS):
        verdict = without_first_output(verdict)
    extra_data = _extra_data(body, emulator.faults.clock())
    emulator.queue.put(Prompt(number, prompt_id, verdict.graph, extra_data, [*verdict.outputs]))
    return 200, {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}


def _number(emulator: Emulator, body: JsonValue) -> float:
    """Returns the sort key: the given one, or the counter, which every request moves on."""
    given = body if isinstance(body, (dict, list, str)) else _refuse_body(body)
    counter = emulator.next_number
    emulator.next_number += 1
    if isinstance(given, dict) and "number" in given:
        return float(cast("float", given["number"]))
    return -counter if isinstance(given, dict) and given.get("front") else counter


def _refuse_body(body: JsonValue) -> dict[str, JsonValue]:
    raise TypeError(f"a body of type {type(body).__name__} has no keys")


def _prompt_id(body: dict[str, JsonValue]) -> str | None:
    """Returns the prompt id: the given one or a new one; None when the given one is no canonical UUID."""
    given = body.get("prompt_id")
    if given is None:
        return str(uuid.uuid4())
    return given if isinstance(given, str) and _UUID.fullmatch(given) else None


def _extra_data(body: dict[str, JsonValue], now: int) -> dict[str, JsonValue]:
    given = body.get("extra_data", {})
    if not isinstance(given, dict):
        raise TypeError("extra_data is not an object")
    hidden = {"auth_token_comfy_org", "api_key_comfy_org"}
    extra_data = {name: value for name, value in given.items() if name not in hidden}
    if "client_id" in body:
        extra_data["client_id"] = body["client_id"]
    extra_data["create_time"] = now
    return extra_data


def _refused(problem: dict[str, JsonValue], node_errors: dict[str, JsonValue] | None = None) -> tuple[int, JsonValue]:
    return 400, {"error": problem, "node_errors": node_errors or {}}


async def _remaining(request: web.Request) -> web.Response:
    return web.json_response(request.app[EMULATOR].status()["status"])


async def _queue(request: web.Request) -> web.Response:
    snapshot = request.app[EMULATOR].queue.snapshot()
    return web.json_response(
        {
            "queue_running": [prompt.as_item() for prompt in snapshot.running],
            "queue_pending": [prompt.as_item() for prompt in snapshot.pending],
        }
    )


async def _change_queue(request: web.Request) -> web.Response:
    queue = request.app[EMULATOR].queue
    body = await read_object(request)
    if body.get("clear"):
        queue.clear()
    for prompt_id in ids_in(body, "delete"):
        queue.delete(prompt_id)
    return web.Response()


async def _interrupt(request: web.Request) -> web.Response:
    emulator = request.app[EMULATOR]
    try:
        body = await read_object(request)
    except ValueError:
        body = {}
    prompt_id = body.get("prompt_id")
    if not prompt_id or emulator.queue.is_running(str(prompt_id)):
        emulator.interrupt()
    return web.Response()


async def _free(request: web.Request) -> web.Response:
    body = await read_object(request)
    unload, forget = bool(body.get("unload_models")), bool(body.get("free_memory"))
    if unload or forget:
        request.app[EMULATOR].worker.free(unload=unload, forget=forget)
    return web.Response()


PROMPT_ROUTES = (
    web.post("/prompt", _submit),
    web.get("/prompt", _remaining),
    web.get("/queue", _queue),
    web.post("/queue", _change_queue),
    web.post("/interrupt", _interrupt),
    web.post("/free", _free),
)
