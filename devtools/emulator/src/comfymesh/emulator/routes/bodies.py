"""Reading request bodies."""

from __future__ import annotations

import json

from aiohttp import web

from comfymesh.graphs import JsonValue


async def read_json(request: web.Request) -> JsonValue:
    """Reads a body as JSON, whatever its content type says.

    Raises:
        ValueError: It is not JSON; the server answers 500.
    """
    body: JsonValue = json.loads(await request.read())
    return body


async def read_object(request: web.Request) -> dict[str, JsonValue]:
    """Reads a body that must be a JSON object.

    Raises:
        ValueError: It is not; the server answers 500.
    """
    body = await read_json(request)
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 (500 like every unusable body)
    return body


def ids_in(body: dict[str, JsonValue], name: str) -> list[str]:
    """Returns a list of ids in a body; empty when there is none."""
    ids = body.get(name)
    return [str(item) for item in ids] if isinstance(ids, list) else []
