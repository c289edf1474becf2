"""Has an instance load what its tasks will need, before it is offered to any."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from comfymesh.agent.domain.folders import WARM_UP
from comfymesh.agent.domain.own_outputs import with_own_prefix
from comfymesh.agent.domain.preloading import preload_graph
from comfymesh.agent.errand import run_errand
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.workplace import Workplace
from comfymesh.tasks.record import ModelFile

logger = logging.getLogger(__name__)

_PRELOADING = "the preloading of models"
_WARM_UP = "the warm-up workflow"


class Warming:
    """What an instance does before it takes tasks. What fails is said, and it takes tasks all the same.

    Args:
        spec: Its pool; None where nobody starts and stops it.
        asked: What it is asked to load ahead of work.
        seconds: How long a workflow may take.
    """

    def __init__(self, spec: PoolSpec | None, asked: Callable[[], Sequence[ModelFile]], seconds: float) -> None:
        self._spec = spec
        self._files = preloads_of(spec)
        self._asked = asked
        self._seconds = seconds

    async def __call__(self, workplace: Workplace, tell: Callable[[str], None]) -> None:
        """Warm up an instance, unless it has prompts already: one that is adopted is warm.

        Raises:
            ComfyUnreachable, ComfyError: It does not answer any more.
            InstanceDownError: It does not stop what it was told to stop.
        """
        asked = tuple(self._asked())
        warm_up = self._spec.warm_up if self._spec is not None else None
        if not (self._files or asked or warm_up) or await workplace.session.http.prompts(1):
            return
        tell("warming up")
        if files := tuple(dict.fromkeys((*self._files, *asked))):
            await preload(workplace, files, self._seconds)
            self._tell(workplace)
        if warm_up is not None and (workflow := await self._workflow(warm_up)) is not None:
            self._say(await run_errand(workplace, workflow, self._files, _WARM_UP, self._seconds), _WARM_UP)

    def _tell(self, workplace: Workplace) -> None:
        problems = [words for words in workplace.preloaded.words.values() if words]
        for words in problems:
            self._warn(f"a model can't be preloaded: {words}")
        if not problems:
            self._say("", _PRELOADING)

    async def _workflow(self, file: Path) -> dict[str, Any] | None:
        try:
            return await asyncio.to_thread(read_workflow, file)
        except (OSError, ValueError) as error:
            self._warn(f"the warm-up workflow can't be read: {error}")
            return None

    def _say(self, failed: str, what: str) -> None:
        if failed:
            self._warn(failed)
        else:
            logger.info("%s of %s is done", what, self._whose, extra={"action": "warm_up"})

    def _warn(self, words: str) -> None:
        logger.warning("%s: %s", self._whose, words, extra={"action": "warm_up_failed"})

    @property
    def _whose(self) -> str:
        return f"pool {self._spec.name}" if self._spec is not None else "an instance"


def preloads_of(spec: PoolSpec | None) -> tuple[ModelFile, ...]:
    """What instances of a pool load by their settings."""
    return tuple(ModelFile(file.node_class, file.input, file.name) for file in spec.preload) if spec else ()


async def preload(workplace: Workplace, files: Sequence[ModelFile], seconds: float) -> None:
    """Have an instance load files, and write down of each how that went: `workplace.preloaded`.

    Raises:
        ComfyUnreachable, ComfyError: It does not answer any more.
        InstanceDownError: It does not stop what it was told to stop.
    """
    graph, wrong = preload_graph(files, await workplace.session.http.object_info())
    able = [file for file in files if file not in wrong]
    failed = await run_errand(workplace, graph, able, _PRELOADING, seconds) if graph else ""
    how = wrong | {file: f"{file.name}: {failed}" if failed else "" for file in able}
    workplace.preloaded.note(how, time.monotonic())


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
