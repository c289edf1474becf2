"""Makes the instances of a node those that its settings name."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from comfymesh.agent.crew import Crew
from comfymesh.agent.domain import rollout
from comfymesh.agent.domain.pool_values import Phase
from comfymesh.agent.domain.rollout import Add, Present, Remove, Renew
from comfymesh.agent.instance import Instance
from comfymesh.agent.outfitting import Outfitter
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.runtimes.specs import AttachSpec, InstanceSpec
from comfymesh.agent.settings import AgentSettings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_RENEWED = "its settings have changed"


class Rollout:
    """Adds, renews and removes instances.

    Args:
        crew: The instances.
        outfitter: Makes new ones.
    """

    def __init__(self, crew: Crew, outfitter: Outfitter) -> None:
        self._crew = crew
        self._outfitter = outfitter
        self._wanted: dict[str, tuple[InstanceSpec, PoolSpec | None]] = {}
        self._renewed: set[str] = set()
        self._failed: set[str] = set()
        self._said: set[str] = set()

    @property
    def done(self) -> bool:
        """Whether the instances are those that the settings name."""
        present = self._present()
        return {name: there.digest for name, there in present.items()} == self._digests()

    def follow(self, settings: AgentSettings) -> None:
        """These settings hold from now on. What is missing is made at once, the rest follows."""
        self._wanted = {spec.name: (spec, None) for spec in settings.agent_instances}
        self._wanted |= {spec.name: (spec, pool) for pool in settings.agent_pools for spec in pool.members}
        self._renewed.clear()
        self._failed.clear()
        self._said.clear()
        for name, instance in self._crew.instances.items():
            if name in self._wanted:
                instance.look_after(self._outfitter.care(*self._wanted[name]))
        self.step()

    async def run(self) -> None:
        """Go on, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.step()

    def step(self) -> None:
        """Do what can be done now."""
        present = self._present()
        for step in list(rollout.steps(self._digests(), present, self._renewed)):
            match step:
                case Add(name):
                    self._add(name)
                case Remove(name):
                    self._crew.remove(name, "the settings name it no more")
                case Renew(name):
                    self._renewed.add(name)
                    self._crew.replace(name, partial(self._make_if_wanted, name), _RENEWED)
        if not self.done:
            self._say_held_up(present)

    def _digests(self) -> dict[str, str]:
        return {name: spec.digest for name, (spec, _) in self._wanted.items()}

    def _present(self) -> dict[str, Present]:
        phases = {name: self._crew.phase(name) for name in self._crew.instances}
        self._failed |= {name for name in self._renewed if phases.get(name) is Phase.BROKEN}
        self._failed -= {name for name, phase in phases.items() if phase is Phase.SERVING}
        return {
            name: Present(instance.care.digest, phases[name], name in self._failed)
            for name, instance in self._crew.instances.items()
        }

    def _add(self, name: str) -> None:
        self._crew.add(self._make(name))
        spec, pool = self._wanted[name]
        # What is there may have been renewed by an earlier life of this agent, and may not have served yet.
        if not isinstance(spec, AttachSpec):
            self._renewed.add(name)
        if pool is None:
            self._crew.start(name)

    def _make_if_wanted(self, name: str) -> Instance | None:
        return self._make(name) if name in self._wanted else None

    def _make(self, name: str) -> Instance:
        spec, pool = self._wanted[name]
        instance = self._outfitter.make(spec, pool)
        if pool is not None:
            instance.rest("it is started when tasks need it")
        return instance

    def _say_held_up(self, present: dict[str, Present]) -> None:
        broken = {name for name in rollout.held_up(present, self._renewed) if present[name].failed}
        for name in broken - self._said:
            reason = self._crew.instances[name].condition.reason
            logger.error(
                "instance %s does not serve with its new settings: %s. The others keep theirs until it does, or until"
                " the settings are corrected and read again",
                name,
                reason,
                extra={"action": "rollout_held_up", "instance": name},
            )
        self._said |= broken
