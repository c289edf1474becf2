"""The attach runtime: a ComfyUI that someone else runs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes.contract import Absent, Endpoint, Running, Status, silently

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from comfymesh.agent.runtimes.specs import AttachSpec

CONNECT_SECONDS = 5.0


class AttachRuntime:
    """Knows an address and nothing else: it starts nothing and stops nothing."""

    sees_process = False

    def __init__(self, spec: AttachSpec) -> None:
        self._host = (spec.url.host or "").strip("[]")
        self._port = spec.url.port or 80
        self._base_url = str(spec.url).rstrip("/")

    async def start(self, tell: Callable[[str], None] = silently) -> Endpoint:  # noqa: ARG002 - nothing takes long
        """Return the address; whether anything answers there is for `poll` to say."""
        return Endpoint(self._base_url)

    async def stop(self, grace: timedelta) -> None:
        """Do nothing: the instance is not ours."""
        del grace

    async def poll(self) -> Status:
        """Answer `Running` while the port accepts connections."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(self._host, self._port)
        except OSError:  # TimeoutError is one of these
            return Absent()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return Running()

    async def log_tail(self, lines: int) -> str:
        """Return nothing: the output is someone else's."""
        del lines
        return ""

    async def remove_folders(self, folders: Sequence[str]) -> None:
        """Do nothing: the files are someone else's."""
        del folders

    async def memory_bytes(self) -> int | None:
        """Return nothing: the process is someone else's."""
        return None

    async def close(self) -> None:
        """Do nothing: nothing is held."""
