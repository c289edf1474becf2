"""Keeps one instance alive and says how it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NoReturn

from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.comfyui.inventory import Inventory
from comfymesh.agent.comfyui.outcome import Lost
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.domain.folders import hide
from comfymesh.agent.domain.ladder import Limits
from comfymesh.agent.domain.lives import Cause, Endurance, Lives
from comfymesh.agent.keeper import InstanceDownError, Keeper, check_process
from comfymesh.agent.offering import read_offer
from comfymesh.agent.runtimes.contract import Exited, Running, Runtime, RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.workplace import Workplace
from comfymesh.artifacts.catalogs import write_catalog
from comfymesh.artifacts.errors import StoreUnavailableError
from comfymesh.artifacts.store import BlobStore
from comfymesh.runtime.patience import patiently
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import ModelFile
from comfymesh.wire.v1 import spec_pb2

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 0.25
_CONNECT_SECONDS = 30.0
_CATALOG_SECONDS = 300.0
_PUT_DOWN_GRACE = timedelta(seconds=5)
_MAX_VERSION = 64
_MAX_REASON = 512
_MAX_WORDS = 2000

WarmUp = Callable[[Workplace, Callable[[str], None]], Awaitable[None]]
"""Warms up an instance, and tells what it does about that, if anything."""
"""Has an instance do something before it takes tasks."""

Keep = Callable[[bytes], Awaitable[None]]
"""Is given what an instance offers, as text."""

_NOT_SERVING = frozenset({InstanceState.DOWN, InstanceState.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Care:
    """How an instance is looked after, and what is known of where it runs.

    Attributes:
        limits: When the ladder is climbed.
        endurance: When it is set aside.
        start_seconds: How long it may run without an answer, from its start on.
        gpu_uuid: The GPU that it is bound to; None if the settings do not say.
        pool: The pool that it belongs to; empty: that of its node.
        labels: What its operator wrote on its pool.
        digest: Of the settings by which its process was made: other ones take another process.
        warm_up: What it does before it takes tasks.
        keep: Is given what it offers, as text, whenever that was read.
        preload: What it is to have loaded while it has nothing else to do.
    """

    limits: Limits = field(default_factory=Limits)
    endurance: Endurance = field(default_factory=Endurance)
    start_seconds: float = 1800.0
    gpu_uuid: str | None = None
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    warm_up: WarmUp | None = None
    keep: Keep | None = None
    preload: Callable[[], Sequence[ModelFile]] = tuple


class Instance:
    """One ComfyUI server of this node.

    Args:
        name: Its name.
        kind: The runtime's kind, for people.
        runtime: Owns the server.
        store: Takes its catalog.
        open_workplace: Makes a workplace for the server at a URL.
        changed: Called whenever its condition has changed.
        care: How it is looked after.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        runtime: Runtime,
        store: BlobStore,
        open_workplace: Callable[[str], Workplace],
        changed: Callable[[], None],
        care: Care | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.condition = Condition(InstanceState.STARTING)
        self.workplace: Workplace | None = None
        self._runtime = runtime
        self._store = store
        self._open_workplace = open_workplace
        self._changed = changed
        self.care = care or Care()
        self._place: Workplace | None = None
        self._catalog_read = time.monotonic()
        self._keeper: Keeper | None = None

    @property
    def memory_bytes(self) -> int | None:
        """What it holds of the host's memory, as it was seen last; None if that is not known."""
        return self._keeper.memory_bytes if self._keeper is not None and self.workplace is not None else None

    async def run(self) -> None:
        """Start or adopt the server, and again whenever it has gone, waiting longer each time. Ends by cancellation."""
        lives = Lives(self.care.endurance, mendable=self.kind != "attach")
        while True:
            began = time.monotonic()
            cause = await self._live()
            now, lives.endurance = time.monotonic(), self.care.endurance
            rest = lives.ended(cause, now - began, now)
            if rest.quarantined:
                self._set_aside(rest.seconds)
            await asyncio.sleep(rest.seconds)

    async def _live(self) -> Cause:
        """Have it serve for as long as it does; answers why it has ended."""
        try:
            await self._serve()
        except InstanceDownError as error:
            self._say_down(error)
            # What somebody else runs may come and go as they like.
            return Cause.UNAVAILABLE if self.kind == "attach" and _is_gone(error) else error.cause
        except (RuntimeFailed, ComfyUnreachable, ComfyError) as error:
            self._say_down(error)
            if isinstance(error, RuntimeFailed) and error.reason is RuntimeFailureReason.ENDED_AT_START:
                return Cause.CRASHED
        except Exception as error:  # whatever one server answers must not take the others of this node down
            logger.exception("instance %s is down by a defect", self.name, extra={"action": "instance_down"})
            self._set_down(error)
        return Cause.UNAVAILABLE

    def _say_down(self, error: Exception) -> None:
        self._set_down(error)
        reason = self.condition.reason
        logger.warning("instance %s is down: %s", self.name, reason, extra={"action": "instance_down"})

    async def stop(self, grace: timedelta) -> bool:
        """Stop the server; answers whether that worked."""
        try:
            await self._runtime.stop(grace)
        except RuntimeFailed as error:
            logger.warning("instance %s could not be stopped: %s", self.name, error)
            return False
        return True

    async def left_running(self) -> bool:
        """Whether an earlier agent has left it running; yes, where that can't be found out. What is dead is removed."""
        try:
            status = await self._runtime.poll()
        except RuntimeFailed:
            return True
        if isinstance(status, Exited):
            await self.stop(_PUT_DOWN_GRACE)
        return isinstance(status, Running)

    def retire(self, reason: str) -> None:
        """Take nothing new from this moment on."""
        self._set_retiring(reason)
        if self.workplace is not None:
            self.workplace.retire()

    async def emptied(self) -> None:
        """Wait until it holds nothing."""
        if self._place is not None:
            await self._place.wait_free()

    def rest(self, reason: str, offered: Condition | None = None) -> None:
        """It does not run, and is not meant to. What it would offer is what another like it has `offered`, if known."""
        known = offered or self.condition
        self._set(replace(known, state=InstanceState.STOPPED, reason=clean(reason, _MAX_REASON), startable=True))

    def hold_back(self, reason: str) -> None:
        """It does not run, is not meant to, and could not be started now."""
        self._set(
            replace(self.condition, state=InstanceState.STOPPED, reason=clean(reason, _MAX_REASON), startable=False)
        )

    def look_after(self, care: Care) -> None:
        """Look after it otherwise from now on. Other settings of its process take another instance."""
        self.care = replace(care, digest=self.care.digest)
        if self._keeper is not None:
            self._keeper.limit(care.limits)
        self._changed()

    async def close(self) -> None:
        """Let go of it; the server runs on."""
        await self._runtime.close()

    async def _serve(self) -> None:
        if self.condition.state not in _NOT_SERVING:
            self._set(replace(self.condition, state=InstanceState.STARTING, reason="starting", startable=True))
        endpoint = await self._runtime.start(self._tell_start)
        async with self._open_workplace(endpoint.base_url) as workplace:
            http = workplace.session.http
            version = await self._answering(http)
            catalog, inventory = await self._catalog(http)
            await self._hearing(workplace.session)
            if self.care.warm_up is not None:
                await self._warm_up(workplace, self.care.warm_up)
            await workplace.take_stock()
            # Attempts may be there for longer than it serves.
            self.workplace = self._place = workplace
            self._catalog_read = time.monotonic()
            # Not before: what is known to be made by other settings is renewed once it holds nothing, and what an
            # adopted one holds is known from here on.
            if endpoint.digest is not None:
                self.care = replace(self.care, digest=endpoint.digest)
            self._set(Condition(InstanceState.READY, "", version, catalog, inventory))
            logger.info("instance %s serves (ComfyUI %s)", self.name, version, extra={"action": "instance_ready"})
            await self._keep(workplace, http)

    async def _keep(self, workplace: Workplace, http: ComfyHttp) -> NoReturn:
        """Keep it well for as long as it serves."""
        self._keeper = Keeper(self.name, self._runtime, workplace, self.care.limits, self._set_retiring)
        try:
            await self._keeper.run(lambda: self._tend(http))
        except Exception as error:  # whatever it is, attempts must not lose their session by it
            self._set_down(error)
            self.workplace = None
            if isinstance(error, InstanceDownError) and error.lost is not None:
                await self._put_down(workplace, error.lost)
            # Attempts find out by themselves what has become of their prompts.
            await workplace.wait_empty()
            raise
        finally:
            self.workplace = None

    async def _warm_up(self, workplace: Workplace, warm_up: WarmUp) -> None:
        try:
            await warm_up(workplace, self._tell_start)
        except (ComfyUnreachable, ComfyError):
            await check_process(self.name, self._runtime)
            raise

    def _tell_start(self, words: str) -> None:
        # A pull may go on though it is not waited for any more.
        if self.workplace is None:
            self._set(replace(self.condition, reason=clean(words, _MAX_REASON)))

    async def _put_down(self, workplace: Workplace, lost: Lost) -> None:
        """Stop it with everything that it executes. Nobody waits for what can't be stopped."""
        words = await workplace.keep_evidence()
        if words:
            logger.info("last words of %s: %s", self.name, clean(words[-_MAX_WORDS:], _MAX_WORDS))
        await self.stop(_PUT_DOWN_GRACE)
        workplace.session.abandon(lost)

    async def _answering(self, http: ComfyHttp) -> str:
        """Wait until the server answers; answers its version."""
        began = time.monotonic()
        while True:
            try:
                stats = await http.system_stats()
            except (ComfyUnreachable, ComfyError) as error:
                await check_process(self.name, self._runtime)
                if self.kind == "attach":
                    raise InstanceDownError(f"nothing answers: {error}") from error
                if time.monotonic() - began > self.care.start_seconds:
                    raise await self._never_came_up() from error
                await asyncio.sleep(_PROBE_SECONDS)
            else:
                system = stats.get("system")
                version = system.get("comfyui_version") if isinstance(system, dict) else None
                return clean(str(version or "unknown"), _MAX_VERSION)

    async def _never_came_up(self) -> InstanceDownError:
        tail = clean(hide(await self._runtime.log_tail(5))[-500:], 500)
        await self.stop(_PUT_DOWN_GRACE)
        message = f"it runs, but has answered nothing for {self.care.start_seconds:g} s; its last words: {tail!r}"
        return InstanceDownError(message, Cause.CRASHED)

    async def _hearing(self, session: ComfySession) -> None:
        """Wait until events arrive."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await session.wait_connected()
        except TimeoutError:
            raise InstanceDownError(
                f"it answers, but its event socket did not open within {_CONNECT_SECONDS:g} s; check whatever stands "
                "between the agent and /ws"
            ) from None

    async def _tend(self, http: ComfyHttp) -> None:
        if time.monotonic() - self._catalog_read >= _CATALOG_SECONDS:
            self._catalog_read = time.monotonic()
            await self._renew_catalog(http)

    async def _renew_catalog(self, http: ComfyHttp) -> None:
        try:
            offer = await read_offer(http)
            catalog = await write_catalog(self._store, offer.packed)
        except (ComfyUnreachable, ComfyError, StoreUnavailableError) as error:
            logger.info("the catalog of %s can't be renewed now: %s", self.name, error)
            return
        if self.care.keep is not None and catalog != self.condition.catalog:
            await self.care.keep(offer.packed)
        self._set(replace(self.condition, catalog=catalog, inventory=offer.inventory))

    async def _catalog(self, http: ComfyHttp) -> tuple[spec_pb2.BlobRef, Inventory]:
        offer = await read_offer(http)
        if self.care.keep is not None:
            await self.care.keep(offer.packed)
        what = f"store the catalog of {self.name}"
        stored = await patiently(lambda: write_catalog(self._store, offer.packed), StoreUnavailableError, what=what)
        return stored, offer.inventory

    def _set_down(self, error: Exception) -> None:
        # What it offered it will most likely offer again: tasks for it may be taken, and wait.
        self._set(replace(self.condition, state=InstanceState.DOWN, reason=clean(str(error), _MAX_REASON)))

    def _set_retiring(self, reason: str) -> None:
        why = f"it takes nothing new, and ends once what it holds has ended: {reason}"
        self._set(replace(self.condition, state=InstanceState.RETIRING, reason=clean(why, _MAX_REASON)))

    def _set_aside(self, seconds: float) -> None:
        why = f"set aside for {seconds:.0f} s after too many faults; the last: {self.condition.reason}"
        logger.error("instance %s is %s", self.name, why, extra={"action": "instance_quarantined"})
        self._set(replace(self.condition, state=InstanceState.QUARANTINED, reason=clean(why, _MAX_REASON)))

    def _set(self, condition: Condition) -> None:
        if condition != self.condition:
            self.condition = condition
            self._changed()


def _is_gone(error: InstanceDownError) -> bool:
    return error.lost is None or error.lost.failure is FailureClass.INSTANCE_LOST
