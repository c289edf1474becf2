"""What every process runs on: the event loop, and a patient garbage collector. The only module that knows uvloop."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

_GARBAGE = (10_000, 20, 50)
"""What a task or message leaves behind goes with its last reference. Looking for cycles after each 700 objects, as is
the default, was a twelfth of the agent's CPU."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, on a loop that costs a fraction of the standard one for each socket and timer.

    What there is by now, modules and classes, stays as long as the process, so the collector never looks at it again.
    That was 39 ms of CPU for each full collection of the api, which tells nobody anything meanwhile.
    """
    gc.set_threshold(*_GARBAGE)
    gc.freeze()
    return uvloop.run(_heard(main))


async def _heard(main: Coroutine[Any, Any, T]) -> T:
    asyncio.get_running_loop().set_exception_handler(_complain)
    return await main


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of what nobody has looked at, but for names that can't be resolved.

    Where a connection is given up while a name is looked up, uvloop forgets that it is. The answer comes all the same.
    """
    if not (isinstance(context.get("exception"), socket.gaierror) and "task" not in context):
        loop.default_exception_handler(context)
