"""Uploads and downloads (ComfyUI protocol notes, section 8)."""

from __future__ import annotations

import io
import json
import mimetypes
from pathlib import Path
from typing import cast

from aiohttp import web
from PIL import Image

from comfymesh.emulator.emulator import EMULATOR, Emulator
from comfymesh.emulator.faults import Fault
from comfymesh.emulator.folders import split_annotation

_ACTIVE_TYPES = {
    "text/html",
    "text/html-sandboxed",
    "application/xhtml+xml",
    "text/javascript",
    "application/javascript",
    "text/css",
    "image/svg+xml",
    "text/xml",
    "application/xml",
}


async def _upload_image(request: web.Request) -> web.Response:
    return await _upload(request, merge_mask=False)


async def _upload_mask(request: web.Request) -> web.Response:
    return await _upload(request, merge_mask=True)


async def _upload(request: web.Request, *, merge_mask: bool) -> web.Response:
    form = await request.post()
    file = form.get("image")
    if not isinstance(file, web.FileField) or not file.filename:
        return web.Response(status=400)
    emulator = request.app[EMULATOR]
    folder = str(form.get("type") or "input")
    subfolder = str(form.get("subfolder") or "")
    content = file.file.read()
    directory = emulator.folders.inside(folder, subfolder)
    target = emulator.folders.inside(folder, subfolder, file.filename)
    if directory is None or target is None:
        return web.Response(status=400)
    # Directories named by the file name itself are not made: such an upload ends in 500, as on a real server.
    directory.mkdir(parents=True, exist_ok=True)
    name = file.filename
    if str(form.get("overwrite")) not in {"true", "1"}:
        name, target = _free_name(name, target, content)
    if merge_mask:
        _write_masked(emulator, content, target, json.loads(str(form["original_ref"])))
    elif not target.exists() or target.read_bytes() != content:
        target.write_bytes(content)
    return web.json_response({"name": name, "subfolder": subfolder, "type": folder})


def _free_name(name: str, target: Path, content: bytes) -> tuple[str, Path]:
    """Finds a name that is free, or taken by the same content."""
    stem, suffix = name.rsplit(".", 1) if "." in Path(name).name else (name, "")
    count = 0
    while target.exists() and target.read_bytes() != content:
        count += 1
        name = f"{stem} ({count}).{suffix}" if suffix else f"{stem} ({count})"
        target = target.with_name(Path(name).name)
    return name, target


def _write_masked(emulator: Emulator, content: bytes, target: Path, reference: object) -> None:
    """Writes the original with the alpha channel of the upload; nothing at all when there is no original."""
    if not isinstance(reference, dict):
        raise TypeError("original_ref is not an object")
    name, folder = split_annotation(str(reference["filename"]), str(reference.get("type", "output")))
    original = emulator.folders.inside(folder, str(reference.get("subfolder") or ""), name)
    if ".." in name or original is None or not original.is_file():
        return
    with Image.open(original) as picture, Image.open(io.BytesIO(content)) as mask:
        masked = picture.convert("RGBA")
        masked.putalpha(mask.convert("RGBA").getchannel("A").resize(masked.size))
    masked.save(target, "PNG", compress_level=1)


async def _view(request: web.Request) -> web.StreamResponse:
    if "filename" not in request.query:
        return web.Response(status=404)
    path = _asked_path(request)
    if "preview" in request.query:
        return _preview(path, request.query["preview"])
    if request.query.get("channel") in {"rgb", "a"}:
        return _channel(path, request.query["channel"])
    return _whole(path)


def _asked_path(request: web.Request) -> Path:
    """Returns the file that is asked for, or ends the request with the status ComfyUI gives."""
    name, folder = split_annotation(request.query["filename"], request.query.get("type", "output"))
    if not name or name.startswith("/") or ".." in name:
        raise web.HTTPBadRequest(text="")
    folders = request.app[EMULATOR].folders
    if folder not in folders.roots:
        raise web.HTTPBadRequest(text="")
    directory = folders.inside(folder, request.query.get("subfolder", ""))
    if directory is None:
        raise web.HTTPForbidden(text="")
    path = directory / Path(name).name
    if not path.is_file() or (folder != "input" and request.app[EMULATOR].faults.is_on(Fault.VANISHED_FILES)):
        raise web.HTTPNotFound
    return path


def _whole(path: Path) -> web.FileResponse:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {
        "Content-Disposition": f'filename="{path.name}"',
        "Content-Type": kind,
        "X-Content-Type-Options": "nosniff",
    }
    if kind in _ACTIVE_TYPES:
        headers["Content-Type"] = "application/octet-stream"
        headers["Content-Disposition"] = f'attachment; filename="{path.name}"'
        headers["Cache-Control"] = "no-store"
    return web.FileResponse(path, headers=headers)


def _preview(path: Path, asked: str) -> web.Response:
    kind, _, quality = asked.partition(";")
    kind = kind if kind in {"webp", "jpeg"} else "webp"
    written = io.BytesIO()
    with Image.open(path) as picture:
        shown = picture.convert("RGB") if kind == "jpeg" else picture
        shown.save(written, kind.upper(), quality=int(quality) if quality.isdigit() else 90)
    return _picture(written, f"image/{kind}", path.name)


def _channel(path: Path, channel: str) -> web.Response:
    written = io.BytesIO()
    with Image.open(path) as picture:
        shown = picture.convert("RGBA")
    if channel == "rgb":
        shown = shown.convert("RGB")
    else:
        alpha = shown.getchannel("A")
        shown = Image.new("RGBA", shown.size)
        shown.putalpha(alpha)
    shown.save(written, "PNG")
    return _picture(written, "image/png", path.name)


def _picture(written: io.BytesIO, kind: str, name: str) -> web.Response:
    headers = {"Content-Disposition": f'filename="{name}"'}
    return web.Response(body=written.getvalue(), content_type=kind, headers=headers)


async def _view_metadata(request: web.Request) -> web.Response:
    kind, name = request.match_info["kind"], request.query.get("filename", "")
    root = request.app[EMULATOR].settings.base_directory / "models" / kind
    path = (root / name).resolve()
    if not name.endswith(".safetensors") or root.resolve() not in path.parents or not path.is_file():
        return web.Response(status=404)
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(min(size, 10_000_000)))
    if "__metadata__" not in header:
        return web.Response(status=404)
    return web.json_response(cast("dict[str, object]", header["__metadata__"]))


FILE_ROUTES = (
    web.post("/upload/image", _upload_image),
    web.post("/upload/mask", _upload_mask),
    web.get("/view", _view),
    web.get("/view_metadata/{kind}", _view_metadata),
)
