"""Reading requests."""

from __future__ import annotations

import json

from aiohttp import web

from comfymesh.gateway.domain.submission import ShapelessError
from comfymesh.graphs import JsonValue


async def read_json(request: web.Request, most_bytes: int) -> JsonValue:
    """Reads a body as JSON, whatever its content type says.

    Raises:
        ShapelessError: it is none; ComfyUI answers 500.
        HTTPRequestEntityTooLarge: it is too large.
    """
    if (request.content_length or 0) > most_bytes:
        raise web.HTTPRequestEntityTooLarge(most_bytes, request.content_length or 0)
    text = bytearray()
    async for piece in request.content.iter_chunked(64 * 1024):
        text += piece
        if len(text) > most_bytes:
            raise web.HTTPRequestEntityTooLarge(most_bytes, len(text))
    try:
        body: JsonValue = json.loads(bytes(text))
    except (ValueError, RecursionError):
        raise ShapelessError from None
    return body


async def read_object(request: web.Request, most_bytes: int) -> dict[str, JsonValue]:
    """Reads a body that must be a JSON object.

    Raises:
        ShapelessError: it is none; ComfyUI answers 500.
    """
    body = await read_json(request, most_bytes)
    if not isinstance(body, dict):
        raise ShapelessError
    return body


def ids_in(body: dict[str, JsonValue], name: str) -> list[str]:
    """A list of ids in a body; empty when there is none."""
    ids = body.get(name)
    return [str(item) for item in ids] if isinstance(ids, list) else []
