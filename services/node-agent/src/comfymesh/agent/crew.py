"""The instances of a node: who of them is kept alive, and how they come, stop and go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from comfymesh.agent.condition import InstanceState
from comfymesh.agent.domain.pool_values import Phase
from comfymesh.agent.instance import Instance
from comfymesh.runtime.background import Background

logger = logging.getLogger(__name__)

_GRACE = timedelta(seconds=10)
_LAST_GRACE = timedelta(seconds=5)
_RETRY_SECONDS = 5.0

_PHASES = {
    InstanceState.READY: Phase.SERVING,
    InstanceState.STARTING: Phase.STARTING,
    InstanceState.RETIRING: Phase.STARTING,
    InstanceState.DOWN: Phase.BROKEN,
    InstanceState.QUARANTINED: Phase.BROKEN,
    InstanceState.STOPPED: Phase.STOPPED,
}

_Then = Callable[[Instance], Awaitable[None]]
"""What becomes of an instance once it has stopped."""

_Make = Callable[[], Instance | None]
"""Makes an instance; None where none is wanted any more."""


class Crew:
    """Instances, and what keeps each of them alive. Of an instance, one thing is done at a time.

    Args:
        background: Where instances run.

    Attributes:
        instances: All of them by name, in the order in which they came.
    """

    def __init__(self, background: Background) -> None:
        self.instances: dict[str, Instance] = {}
        self._background = background
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[str] = set()

    def phase(self, name: str) -> Phase:
        """What becomes of an instance."""
        if name in self._leaving:
            return Phase.STOPPING
        return _PHASES[self.instances[name].condition.state] if name in self._runs else Phase.STOPPED

    def add(self, instance: Instance) -> None:
        """One more, which does not run yet."""
        self.instances[instance.name] = instance

    def start(self, name: str) -> None:
        """Keep an instance alive from now on."""
        if name not in self._runs and name not in self._leaving:
            instance = self.instances[name]
            self._runs[name] = self._background.spawn(instance.run(), f"instance {name}")

    def stop(self, name: str, reason: str) -> None:
        """Have an instance take nothing new from this moment on, and stop once it holds nothing."""

        async def rest(instance: Instance) -> None:
            instance.rest(reason)

        self._leave(name, reason, rest)

    def remove(self, name: str, reason: str) -> None:
        """Stop an instance in the same way, and forget it."""

        async def forget(instance: Instance) -> None:
            del self.instances[name]
            await instance.close()

        self._leave(name, reason, forget)

    def replace(self, name: str, make: _Make, reason: str) -> None:
        """Have another instance take the place of one, once that holds nothing; it runs if that ran.

        It is made then and not before: the settings may have changed again meanwhile, and may not name it any more.
        """
        ran = name in self._runs

        async def succeed(old: Instance) -> None:
            new = make()
            if new is None:
                del self.instances[name]
            else:
                self.instances[name] = new
            await old.close()
            self._leaving.discard(name)
            if ran and new is not None:
                self.start(name)

        self._leave(name, reason, succeed)

    async def close(self, *, stop: bool) -> None:
        """Keep none alive any more; they run on, unless they are to stop as well."""
        running = [self.instances[name] for name in self._runs]
        tasks = list(self._runs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if stop:
            await asyncio.gather(*(instance.stop(_LAST_GRACE) for instance in running))
        for instance in self.instances.values():
            await instance.close()

    def _leave(self, name: str, reason: str, then: _Then) -> None:
        if name in self._leaving:
            return
        self._leaving.add(name)
        instance = self.instances[name]
        instance.retire(reason)
        logger.info("instance %s is to stop: %s", name, reason, extra={"action": "instance_leaves", "instance": name})
        self._background.spawn(self._see_off(instance, then), f"end of instance {name}")

    async def _see_off(self, instance: Instance, then: _Then) -> None:
        await instance.emptied()
        if (run := self._runs.get(instance.name)) is not None:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        while not await instance.stop(_GRACE):  # noqa: ASYNC110  # it is tried again, and not just looked at
            await asyncio.sleep(_RETRY_SECONDS)
        self._runs.pop(instance.name, None)
        await then(instance)
        self._leaving.discard(instance.name)
