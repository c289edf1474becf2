"""Reading requests."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, nullcontext

from aiohttp import web

from comfymesh.gateway.domain.submission import ShapelessError
from comfymesh.gateway.mesh import current_caller
from comfymesh.gateway.state import GATEWAY
from comfymesh.graphs import JsonValue, holds_more_than

_SMALL_BYTES = 64 * 1024
"""What says that it has no more is read at once; of larger bodies a caller has only so many under way."""
_ARRIVAL_SECONDS = 60.0
_MOST_VALUES = 500_000
"""A prompt comes with the canvas that it was made on: both may have as much as one graph for the mesh."""


async def read_json(request: web.Request) -> JsonValue:
    """Reads a body as JSON, whatever its content type says. Nothing is read of a caller without a key that is good.

    Raises:
        ComfyMeshError: the mesh does not know the caller.
        ShapelessError: it is none; ComfyUI answers 500.
        HTTPRequestEntityTooLarge: it is too large, or holds too many values.
        HTTPRequestTimeout: it takes too long to arrive.
    """
    gateway = request.app[GATEWAY]
    await gateway.mesh.offered()
    announced = request.content_length
    small = announced is not None and announced <= _SMALL_BYTES
    turn: AbstractAsyncContextManager[object] = nullcontext() if small else gateway.reading.of(current_caller())
    try:
        async with asyncio.timeout(_ARRIVAL_SECONDS), turn:
            text = await _arrived(request, gateway.settings.gateway_max_prompt_bytes)
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="") from error
    try:
        decoded = text.decode()
        if holds_more_than(_MOST_VALUES, decoded):
            raise web.HTTPRequestEntityTooLarge(
                _MOST_VALUES, len(text), text=f"The JSON holds more than {_MOST_VALUES} values"
            )
        body: JsonValue = json.loads(decoded)
    except (ValueError, RecursionError):
        raise ShapelessError from None
    return body


async def _arrived(request: web.Request, most_bytes: int) -> bytes:
    if (request.content_length or 0) > most_bytes:
        raise web.HTTPRequestEntityTooLarge(most_bytes, request.content_length or 0)
    text = bytearray()
    async for piece in request.content.iter_chunked(64 * 1024):
        text += piece
        if len(text) > most_bytes:
            raise web.HTTPRequestEntityTooLarge(most_bytes, len(text))
    return bytes(text)


async def read_object(request: web.Request) -> dict[str, JsonValue]:
    """Reads a body that must be a JSON object.

    Raises:
        ShapelessError: it is none; ComfyUI answers 500.
    """
    body = await read_json(request)
    if not isinstance(body, dict):
        raise ShapelessError
    return body


def ids_in(body: dict[str, JsonValue], name: str) -> list[str]:
    """A list of ids in a body; empty when there is none."""
    ids = body.get(name)
    return [str(item) for item in ids] if isinstance(ids, list) else []
