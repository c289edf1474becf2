"""A prompt of the agent's own: it has an instance load something, and belongs to no task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Outcome
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.comfyui.stopwatch import Stopwatch
from comfymesh.agent.domain.folders import WARM_UP
from comfymesh.agent.domain.lives import Cause
from comfymesh.agent.keeper import InstanceDownError
from comfymesh.agent.workplace import Workplace
from comfymesh.tasks.record import ModelFile

_MAX_TEXT = 500
_GRACE_SECONDS = 10.0
"""A prompt that was told to stop has this long to do so."""


async def run_errand(
    workplace: Workplace, graph: Mapping[str, Any], files: Sequence[ModelFile], what: str, seconds: float
) -> str:
    """Have an instance execute a graph; answers in words why that has failed, nothing where it has not.

    Args:
        workplace: The instance.
        graph: The graph, which writes nowhere but into the folder of warm-ups.
        files: Model files that it names.
        what: What it is for, as a sentence about it begins.
        seconds: How long it may take.

    Raises:
        ComfyUnreachable, ComfyError: The instance does not answer any more.
        InstanceDownError: It does not stop what it was told to stop.
    """
    prompt_id, session, stopwatch = str(uuid4()), workplace.session, Stopwatch(tuple(files))
    stopwatch.submit(graph)
    executing = asyncio.ensure_future(
        session.execute(prompt_id, graph, observer=lambda event: stopwatch.feed(event, time.monotonic()))
    )
    try:
        async with asyncio.timeout(seconds):
            outcome = await asyncio.shield(executing)
    except TimeoutError:
        await session.cancel(prompt_id)
        outcome = await _stopped(executing, what)
    except ComfyError as error:  # it was refused, and nothing has begun
        return f"{what} failed: {clean(str(error), _MAX_TEXT)}"
    finally:
        executing.cancel()
    failed = _failure(outcome, what, seconds)
    workplace.residency.ran(stopwatch.used(), ())
    await session.http.delete_history(prompt_id)
    await workplace.sweep([WARM_UP])
    return failed


async def _stopped(executing: asyncio.Future[Outcome], what: str) -> Outcome:
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            return await asyncio.shield(executing)
    except TimeoutError:
        reason = f"{what} did not stop within {_GRACE_SECONDS:g} s of being told to"
        raise InstanceDownError(reason, Cause.FAULTY) from None


def _failure(outcome: Outcome, what: str, seconds: float) -> str:
    match outcome:
        case Lost(message):
            raise ComfyUnreachable(what, "LOST", message)
        case Failed():
            return f"{what} failed: {clean(str(outcome), _MAX_TEXT)}"
        case Interrupted():
            return f"{what} was stopped after {seconds:g} s"
        case _:
            return ""
