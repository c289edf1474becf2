"""Has instances that serve load what operators want of them ahead of work, when they have nothing else to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable
from comfymesh.agent.instance import Instance
from comfymesh.agent.keeper import InstanceDownError
from comfymesh.agent.runtimes.contract import RuntimeFailed
from comfymesh.agent.warming import preload
from comfymesh.agent.workplace import Workplace
from comfymesh.bus.intents import Preload
from comfymesh.runtime.background import Background
from comfymesh.runtime.patience import is_set
from comfymesh.tasks.record import ModelFile

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_ACTION = {"action": "preload"}


class Preloads:
    """What operators want instances of this node to load, as it was read last."""

    def __init__(self) -> None:
        self._wanted: Sequence[Preload] = ()
        self.changed = asyncio.Event()

    def want(self, wanted: Sequence[Preload]) -> None:
        """This is wanted from now on."""
        if tuple(wanted) != tuple(self._wanted):
            self._wanted = wanted
            self.changed.set()

    def of(self, pool: str, instance: str) -> tuple[ModelFile, ...]:
        """What an instance is to load, what is wanted of fewest last."""
        meant = [each for each in self._wanted if each.is_for(pool, instance)]
        meant.sort(key=lambda each: (bool(each.instance), bool(each.pool)))
        return tuple(dict.fromkeys(file for each in meant for file in each.files))


class Preloading:
    """Looks for instances that have not loaded what they are to load.

    Args:
        preloads: What is wanted.
        instances: The instances of this node by name.
        seconds: How long loading may take.
    """

    def __init__(
        self,
        preloads: Preloads,
        instances: Mapping[str, Instance],
        seconds: Callable[[], float],
    ) -> None:
        self._preloads = preloads
        self._instances = instances
        self._seconds = seconds
        self._loading: set[str] = set()

    async def run(self, background: Background) -> None:
        """Look now and then, and whenever something else is wanted, for ever. Each instance loads by itself."""
        while True:
            if self._preloads.changed.is_set():
                self._forget_failures()
            self._preloads.changed.clear()
            for instance in list(self._instances.values()):
                self._look(instance, background)
            await is_set(self._preloads.changed, _LOOK_SECONDS)

    def _forget_failures(self) -> None:
        for instance in self._instances.values():
            if instance.workplace is not None:
                instance.workplace.preloaded.forget_failures()

    def _look(self, instance: Instance, background: Background) -> None:
        workplace = instance.workplace
        if workplace is None or not workplace.open or not workplace.free or instance.name in self._loading:
            return
        if missing := workplace.preloaded.due(instance.care.preload(), time.monotonic()):
            self._loading.add(instance.name)
            background.spawn(self._load(instance.name, workplace, missing), f"preloading of {instance.name}")

    async def _load(self, name: str, workplace: Workplace, files: Sequence[ModelFile]) -> None:
        workplace.enter()  # It is not stopped meanwhile.
        try:
            await preload(workplace, files, self._seconds())
            problems = [words for file in files if (words := workplace.preloaded.words[file])]
            logger.info("%s has loaded %d models ahead of work", name, len(files) - len(problems), extra=_ACTION)
            for words in problems:
                logger.warning("%s can't load a model ahead of work: %s", name, words, extra=_ACTION)
        except (ComfyUnreachable, ComfyError, InstanceDownError, RuntimeFailed) as error:
            # Whatever ails it is its keeper's business.
            self._note(workplace, files, str(error))
            logger.warning("%s can't load models ahead of work: %s", name, error, extra=_ACTION)
        except Exception as error:  # whatever one server answers must not take the others of this node down
            self._note(workplace, files, repr(error))
            logger.exception("%s can't load models ahead of work by a defect", name, extra=_ACTION)
        finally:
            workplace.leave()
            self._loading.discard(name)

    def _note(self, workplace: Workplace, files: Sequence[ModelFile], why: str) -> None:
        workplace.preloaded.note({file: f"{file.name}: {why}" for file in files}, time.monotonic())
