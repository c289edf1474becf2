"""Answers the two requests that every prompt costs, out of the bytes that came, as aiohttp would: no more than that."""

from __future__ import annotations

import json
import logging
import re
import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp.http import SERVER_SOFTWARE

from comfymesh.emulator.emulator import Emulator
from comfymesh.emulator.routes.history import entry
from comfymesh.emulator.routes.prompts import submit
from comfymesh.emulator.wording import JSON, REASONS, SERVER_ERROR, TEXT

_log = logging.getLogger(__name__)
_REQUEST = re.compile(
    rb"(?:POST (?:/api)?/prompt|GET (?:/api)?/history/([0-9a-f-]{36})) HTTP/1\.1\r\n"
    rb"(?i:(?:Host|User-Agent|Accept|Accept-Encoding|Content-Type): [ -~]*\r\n|Content-Length: ([0-9]{1,9})\r\n)*\r\n"
)
"""With headers that change nothing. Any other, and aiohttp has it: an origin, a coding, an end of the connection."""
_NAMES = re.compile(rb"\r\n([A-Za-z-]+):")
_LONGEST_HEAD = 4096
"""Longer ones are for aiohttp to refuse, of which one line may have 8,190 bytes."""


def answer(emulator: Emulator, data: bytes) -> bytes | None:
    """Returns the whole answer where `data` is exactly one such request, or None where that is for others to answer."""
    head = _REQUEST.match(data)
    if head is None or len(data) - head.end() != int(head[2] or 0):
        return None
    is_prompt = data.startswith(b"POST")
    if is_prompt != (head[2] is not None) or not _is_plain(head[0]) or len(data) > emulator.settings.max_upload_bytes:
        return None
    try:
        status, body = submit(emulator, data[head.end() :]) if is_prompt else (200, entry(emulator, head[1].decode()))
        return _response(status, JSON, json.dumps(body).encode())
    except Exception as error:  # the edge of the server, as in `application`
        _log.info("A request failed: %s", error, extra={"path": "/prompt" if is_prompt else "/history"})
        return _response(500, TEXT, SERVER_ERROR.encode())


def _is_plain(head: bytes) -> bool:
    """Tells whether there is a host, and no header twice: aiohttp refuses the others."""
    names = _NAMES.findall(head.lower())
    return len(head) <= _LONGEST_HEAD and b"host" in names and len(names) == len(set(names))


def _response(status: int, kind: str, body: bytes) -> bytes:
    return (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"Date: {_date(int(time.time()))}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
    ).encode() + body


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
