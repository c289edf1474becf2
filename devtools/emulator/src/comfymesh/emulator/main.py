"""The process: ``comfymesh-emulator``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from comfymesh.emulator.arguments import parse_arguments
from comfymesh.emulator.server import serve_until
from comfymesh.emulator.settings import Settings
from comfymesh.runtime import eventloop


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the emulator until SIGINT or SIGTERM."""
    settings = parse_arguments(list(sys.argv[1:] if arguments is None else arguments))
    try:
        eventloop.run(_serve(settings))
    except OSError as error:
        sys.exit(f"cannot listen on {settings.listen}:{settings.port}: {error.strerror}; choose another --port")
    # A node that holds on to its thread must not keep the process.
    sys.stdout.flush()
    os._exit(0)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve_until(settings, stop, _announce)


def _announce(address: str) -> None:
    sys.stdout.write(f"To see the GUI go to: {address}\n")
    sys.stdout.flush()
