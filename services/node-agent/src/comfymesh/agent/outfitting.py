"""Makes the instances of a node from its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from comfymesh.agent.care import care_of, gpu_of, pace_of, patience_of
from comfymesh.agent.comfyui.pulse import Pace
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.domain.residency import Residency
from comfymesh.agent.host import Host
from comfymesh.agent.instance import Care, Instance
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.offering import inventory_of
from comfymesh.agent.preloading import Preloads
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.kept_catalogs import KeptCatalog
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.runtimes.specs import InstanceSpec
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.artifacts.catalogs import write_catalog
from comfymesh.artifacts.errors import StoreUnavailableError
from comfymesh.bus.port import Bus
from comfymesh.bus.tasklog import TaskLog
from comfymesh.runtime.patience import patiently
from comfymesh.tasks.record import ModelFile


class Outfitter:
    """Makes instances, and sees to it that those that are there follow the settings.

    Args:
        settings: The settings.
        bus: The bus.
        files: Where files come from and go to.
        host: What the host has.
        changed: Called whenever the condition of an instance has changed.
        preloads: What instances are to load ahead of work.
    """

    def __init__(
        self,
        settings: AgentSettings,
        bus: Bus,
        files: Files,
        host: Host,
        changed: Callable[[], None],
        preloads: Preloads,
    ) -> None:
        self._preloads = preloads
        self._settings = settings
        self._bus = bus
        self._host = host
        self._changed = changed
        self._files = files
        self._paces: dict[str, Pace] = {}

    def make(self, spec: InstanceSpec, pool: PoolSpec | None = None) -> Instance:
        """An instance by itself, or one of a pool. Nothing is started."""
        settings = self._settings
        runtime = build(
            spec,
            node=settings.agent_node,
            state_directory=settings.agent_state_directory,
            mount_roots=settings.agent_mount_roots,
        )
        pace = self._paces[spec.name] = pace_of(settings)

        def open_workplace(url: str) -> Workplace:
            session, log = ComfySession(url, pace=pace), TaskLog(self._bus)
            leftovers = Leftovers(session, log, settings.agent_node, spec.name)
            gpu_class = self._settings.agent_gpu_class or self._host.gpu_class(gpu_of(spec))
            residency = Residency(self._changed, gpu_class)
            workplace = Workplace(session, log, self._files, leftovers, runtime.log_tail, residency)
            workplace.sweep = runtime.remove_folders
            return workplace

        return Instance(
            name=spec.name,
            kind=spec.runtime,
            runtime=runtime,
            store=self._files.store,
            open_workplace=open_workplace,
            changed=self._changed,
            care=self.care(spec, pool),
        )

    def care(self, spec: InstanceSpec, pool: PoolSpec | None) -> Care:
        """How an instance is looked after."""

        def asked() -> Sequence[ModelFile]:
            return self._preloads.of(spec.pool or self._settings.agent_pool, spec.name)

        return care_of(spec, self._settings, pool, self._kept(pool).write if pool else None, asked)

    async def last_offer(self, pool: PoolSpec) -> Condition | None:
        """What a pool's instances offered when one of them ran last, if that is known; stored anew for all to read."""
        text = await self._kept(pool).read()
        if text is None:
            return None
        what = f"store the catalog of pool {pool.name}"
        catalog = await patiently(lambda: write_catalog(self._files.store, text), StoreUnavailableError, what=what)
        return Condition(InstanceState.STOPPED, catalog=catalog, inventory=inventory_of(text))

    async def outdated(self, pool: PoolSpec) -> bool:
        """Whether that is not so any more."""
        return await self._kept(pool).outdated()

    def follow(self, settings: AgentSettings) -> None:
        """These settings hold from now on, for what is made and for all that was made."""
        self._settings = settings
        self._files.max_artifact_bytes = settings.agent_max_artifact_bytes
        for pace in self._paces.values():
            pace.patience = patience_of(settings)

    def _kept(self, pool: PoolSpec) -> KeptCatalog:
        return KeptCatalog(pool, self._settings.agent_state_directory)
