"""Has an instance load what its pool's tasks will need, before it is offered to any."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Outcome, Succeeded
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.comfyui.stopwatch import Stopwatch
from comfymesh.agent.domain.folders import WARM_UP
from comfymesh.agent.domain.lives import Cause
from comfymesh.agent.domain.own_outputs import with_own_prefix
from comfymesh.agent.domain.preloading import preload_graph
from comfymesh.agent.keeper import InstanceDownError
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.workplace import Workplace
from comfymesh.tasks.record import ModelFile

logger = logging.getLogger(__name__)

_MAX_TEXT = 500
_GRACE_SECONDS = 10.0
"""A workflow that was told to stop has this long to do so."""


class Warming:
    """What instances of a pool do before they take tasks. What fails is said, and they take tasks all the same.

    Args:
        spec: The pool.
        seconds: How long a workflow may take.
    """

    def __init__(self, spec: PoolSpec, seconds: float) -> None:
        self._spec = spec
        self._files = tuple(ModelFile(file.node_class, file.input, file.name) for file in spec.preload)
        self._seconds = seconds

    async def __call__(self, workplace: Workplace) -> None:
        """Warm up an instance, unless it has prompts already: one that is adopted is warm.

        Raises:
            ComfyUnreachable, ComfyError: It does not answer any more.
            InstanceDownError: It does not stop what it was told to stop.
        """
        if await workplace.session.http.prompts(1):
            return
        if self._files:
            graph, wrong = preload_graph(self._files, await workplace.session.http.object_info())
            for words in wrong:
                self._warn(f"a model can't be preloaded: {words}")
            if graph:
                await self._run(workplace, graph, "the preloading of models")
        if self._spec.warm_up is not None and (workflow := await self._workflow()) is not None:
            await self._run(workplace, workflow, "the warm-up workflow")

    async def _workflow(self) -> dict[str, Any] | None:
        assert self._spec.warm_up is not None
        try:
            return await asyncio.to_thread(read_workflow, self._spec.warm_up)
        except (OSError, ValueError) as error:
            self._warn(f"the warm-up workflow can't be read: {error}")
            return None

    async def _run(self, workplace: Workplace, graph: Mapping[str, Any], what: str) -> None:
        prompt_id, session = str(uuid4()), workplace.session
        stopwatch = Stopwatch(self._files)
        stopwatch.submit(graph)
        executing = asyncio.ensure_future(
            session.execute(prompt_id, graph, observer=lambda event: stopwatch.feed(event, time.monotonic()))
        )
        try:
            async with asyncio.timeout(self._seconds):
                outcome = await asyncio.shield(executing)
        except TimeoutError:
            await session.cancel(prompt_id)
            outcome = await self._stopped(executing, what)
        except ComfyError as error:  # it was refused, and nothing has begun
            self._warn(f"{what} failed: {error}")
            return
        finally:
            executing.cancel()
        self._judge(outcome, what)
        workplace.residency.ran(stopwatch.used(), ())
        await session.http.delete_history(prompt_id)
        await workplace.sweep([WARM_UP])

    async def _stopped(self, executing: asyncio.Future[Outcome], what: str) -> Outcome:
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                return await asyncio.shield(executing)
        except TimeoutError:
            reason = f"{what} did not stop within {_GRACE_SECONDS:g} s of being told to"
            raise InstanceDownError(reason, Cause.FAULTY) from None

    def _judge(self, outcome: Outcome, what: str) -> None:
        match outcome:
            case Lost(message):
                raise ComfyUnreachable(what, "LOST", message)
            case Failed():
                self._warn(f"{what} failed: {clean(str(outcome), _MAX_TEXT)}")
            case Interrupted():
                self._warn(f"{what} was stopped after {self._seconds:g} s")
            case Succeeded():
                logger.info("%s of pool %s is done", what, self._spec.name, extra={"action": "warm_up"})

    def _warn(self, words: str) -> None:
        logger.warning("pool %s: %s", self._spec.name, words, extra={"action": "warm_up_failed"})


def read_workflow(file: Path) -> dict[str, Any]:
    """The workflow in a file, which writes into a folder of its own.

    Raises:
        OSError: It can't be read.
        ValueError: It is none in ComfyUI's API format.
    """
    match json.loads(file.read_text()):
        case dict() as graph if graph and all(_is_node(node) for node in graph.values()):
            return with_own_prefix(graph, WARM_UP)
        case _:
            raise ValueError(f"{file} is no workflow in ComfyUI's API format")


def _is_node(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
