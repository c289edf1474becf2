"""Uploads and downloads (ComfyUI protocol notes, section 8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import IO, TypeVar

from aiohttp import web

from comfymesh.client import Artifact, ArtifactKind, Asset
from comfymesh.gateway import pictures
from comfymesh.gateway.domain import naming
from comfymesh.gateway.domain.naming import UploadName
from comfymesh.gateway.domain.refusals import refused
from comfymesh.gateway.domain.serving import Part, disposition, part, shown_type
from comfymesh.gateway.domain.submission import ShapelessError
from comfymesh.gateway.mesh import Mesh, current_caller
from comfymesh.gateway.state import GATEWAY, Gateway

_FOLDERS = {"output", "input", "temp"}
_ARRIVAL_SECONDS = 600.0

T = TypeVar("T")


async def _upload_image(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    async with _arrived(request) as form, gateway.large:
        return await _keep(gateway, form, form.content.read())


async def _upload_mask(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    async with _arrived(request) as form, gateway.large:
        original = await _original(gateway.mesh, form.original)
        if original is None:
            # ComfyUI answers as if all was well. A client would look for the picture in vain.
            raise refused("original_not_found", "The picture that original_ref names does not exist")
        masked = await _changed(lambda: pictures.with_alpha_of(original, form.content.read()))
        return await _keep(gateway, form, masked)


@dataclass(frozen=True, slots=True)
class _Form:
    name: UploadName
    content: IO[bytes]
    original: str


@asynccontextmanager
async def _arrived(request: web.Request) -> AsyncIterator[_Form]:
    """An upload that is on disk. While it arrives, however slowly, it takes nothing that others wait for."""
    gateway = request.app[GATEWAY]
    async with gateway.arriving.of(current_caller()):
        await gateway.mesh.offered()  # Who has no key sends nothing.
        yield await _form(request)


async def _form(request: web.Request) -> _Form:
    try:
        async with asyncio.timeout(_ARRIVAL_SECONDS):
            form = await request.post()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="") from error
    except ValueError as error:
        raise web.HTTPBadRequest(text="") from error
    file = form.get("image")
    if not isinstance(file, web.FileField) or not file.filename:
        raise web.HTTPBadRequest(text="")
    kind = str(form.get("type") or "input")
    if kind not in _FOLDERS:
        raise ShapelessError
    if kind != "input":
        raise refused("upload_type_not_supported", "Only inputs are uploaded: outputs are what tasks have made")
    if "/" in file.filename and ".." not in file.filename:
        raise ShapelessError
    name = naming.upload_name(file.filename, str(form.get("subfolder") or ""))
    if name is None:
        raise web.HTTPBadRequest(text="")
    return _Form(name, file.file, str(form.get("original_ref") or ""))


async def _keep(gateway: Gateway, form: _Form, content: bytes) -> web.Response:
    digest = await asyncio.to_thread(naming.digest, content)
    name = form.name.with_content(digest)
    await gateway.mesh.upload(content, name)
    return web.json_response({"name": name.filename, "subfolder": name.subfolder, "type": "input"})


async def _original(mesh: Mesh, reference: str) -> bytes | None:
    try:
        written = json.loads(reference)
    except (ValueError, RecursionError):
        raise ShapelessError from None
    if not isinstance(written, dict) or "filename" not in written:
        raise ShapelessError
    kind = str(written.get("type") or "output")
    file = await _find(mesh, str(written["filename"]), str(written.get("subfolder") or ""), kind)
    return await _whole(mesh, file) if file is not None else None


async def _find(mesh: Mesh, filename: str, subfolder: str, kind: str) -> Asset | Artifact | None:
    """The file of a name, wherever the mesh has it."""
    name, kind = naming.split_annotation(filename, kind)
    if kind == "input":
        wanted = naming.upload_name(name, subfolder)
        return await mesh.find(wanted) if wanted else None
    artifact = None if subfolder else await mesh.artifact(name)
    made = ArtifactKind.TEMP if kind == "temp" else ArtifactKind.OUTPUT
    return artifact if artifact is not None and artifact.kind is made else None


async def _whole(mesh: Mesh, file: Asset | Artifact) -> bytes:
    if file.size_bytes > pictures.MOST_BYTES:
        raise refused("picture_too_large", f"The picture has more than {pictures.MOST_BYTES} bytes")
    async with aclosing(mesh.read(file)) as pieces:
        return b"".join([piece async for piece in pieces])


async def _view(request: web.Request) -> web.StreamResponse:
    gateway, query = request.app[GATEWAY], request.query
    if "filename" not in query:
        raise web.HTTPNotFound
    name, kind = naming.split_annotation(query["filename"], query.get("type", "output"))
    if not name or name.startswith("/") or ".." in name or kind not in _FOLDERS:
        raise web.HTTPBadRequest(text="")
    if ".." in query.get("subfolder", "").split("/") or query.get("subfolder", "").startswith("/"):
        raise web.HTTPForbidden(text="")
    file = await _find(gateway.mesh, name.rpartition("/")[2], query.get("subfolder", ""), kind)
    if file is None:
        raise web.HTTPNotFound
    preview, channel = query.get("preview"), query.get("channel")
    if preview is None and channel not in {"rgb", "a"}:
        return await _stream(request, file)
    async with gateway.large:
        data = await _whole(gateway.mesh, file)
        if preview is not None:
            body, media_type = await _changed(lambda: pictures.preview(data, preview))
        else:
            body, media_type = await _changed(lambda: pictures.channel(data, str(channel))), "image/png"
    headers = {"Content-Disposition": disposition(file.filename, media_type)}
    return web.Response(body=body, content_type=media_type, headers=headers)


async def _stream(request: web.Request, file: Asset | Artifact) -> web.StreamResponse:
    media_type = shown_type(file.filename, file.media_type)
    headers = {
        "Content-Type": media_type,
        "Content-Disposition": disposition(file.filename, file.media_type),
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": f'"{file.sha256}"',
        # The name says which content it is: it stays what it is. Others than the caller may not see it.
        "Cache-Control": "private, no-cache",
    }
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    wanted = part(request.headers.get("Range"), file.size_bytes)
    if wanted is None:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{file.size_bytes}"})
    answer = web.StreamResponse(status=206 if wanted.partial else 200, headers=headers)
    answer.content_length = wanted.length
    if wanted.partial:
        answer.headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{file.size_bytes}"
    return await _send(request, answer, file, wanted)


async def _send(
    request: web.Request, answer: web.StreamResponse, file: Asset | Artifact, wanted: Part
) -> web.StreamResponse:
    if request.method == "HEAD" or not wanted.length:
        await answer.prepare(request)
        return answer
    async with aclosing(request.app[GATEWAY].mesh.read(file, wanted.start, wanted.length)) as pieces:
        # Nothing is promised before the first bytes are there.
        first = await anext(pieces)
        await answer.prepare(request)
        await answer.write(first)
        async for piece in pieces:
            await answer.write(piece)
    await answer.write_eof()
    return answer


async def _changed(change: Callable[[], T]) -> T:
    """What a change of pictures makes, off the event loop."""
    try:
        return await asyncio.to_thread(change)
    except pictures.UnusableError as error:
        raise refused("picture_unusable", str(error)) from error


FILE_ROUTES = (
    web.post("/upload/image", _upload_image),
    web.post("/upload/mask", _upload_mask),
    web.get("/view", _view),
)
