"""Keeps one instance alive and says how it is."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from comfymesh.agent.comfyui.errors import REASON_REFUSED, ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.runtimes.contract import Absent, Exited, Runtime, RuntimeFailed
from comfymesh.agent.workplace import Workplace
from comfymesh.artifacts.catalogs import write_catalog
from comfymesh.artifacts.errors import StoreUnavailableError
from comfymesh.artifacts.store import BlobStore
from comfymesh.runtime.patience import patiently
from comfymesh.wire.v1 import spec_pb2

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 0.25
_WATCH_SECONDS = 2.0
_PROBES_MISSED = 5
_CONNECT_SECONDS = 30.0
_CATALOG_SECONDS = 300.0
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_STABLE_SECONDS = 60.0
_MAX_VERSION = 64
_MAX_REASON = 512


class InstanceState(StrEnum):
    """What an instance is doing. Values match `comfymesh.v1.Instance.State`."""

    STARTING = "STARTING"
    READY = "READY"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True)
class Condition:
    """How an instance is: its state, why, its ComfyUI's version, and what it offers.

    What it offered last stays known while it is down, so that tasks for it are still taken.
    """

    state: InstanceState
    reason: str = ""
    version: str = ""
    catalog: spec_pb2.BlobRef | None = None


class InstanceDownError(Exception):
    """The instance stopped serving; the message says how that showed."""


class Instance:
    """One ComfyUI server of this node.

    Args:
        name: Its name.
        kind: The runtime's kind, for people.
        runtime: Owns the server.
        store: Takes its catalog.
        open_workplace: Makes a workplace for the server at a URL.
        changed: Called whenever its condition has changed.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        runtime: Runtime,
        store: BlobStore,
        open_workplace: Callable[[str], Workplace],
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.kind = kind
        self.condition = Condition(InstanceState.STARTING)
        self.workplace: Workplace | None = None
        self._runtime = runtime
        self._store = store
        self._open_workplace = open_workplace
        self._changed = changed

    async def run(self) -> None:
        """Start or adopt the server, and again whenever it has gone, waiting longer each time. Ends by cancellation."""
        wait = _FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                await self._serve()
            except (InstanceDownError, RuntimeFailed, ComfyUnreachable, ComfyError) as error:
                self._set_down(error)
                logger.warning("instance %s is down: %s", self.name, error, extra={"action": "instance_down"})
            except Exception as error:  # whatever one server answers must not take the others of this node down
                self._set_down(error)
                logger.exception("instance %s is down by a defect", self.name, extra={"action": "instance_down"})
            wait = _FIRST_WAIT if time.monotonic() - began > _STABLE_SECONDS else min(2 * wait, _LONGEST_WAIT)
            await asyncio.sleep(wait)

    async def stop(self, grace: timedelta) -> None:
        """Stop the server."""
        try:
            await self._runtime.stop(grace)
        except RuntimeFailed as error:
            logger.warning("instance %s could not be stopped: %s", self.name, error)

    async def close(self) -> None:
        """Let go of it; the server runs on."""
        await self._runtime.close()

    async def _serve(self) -> None:
        if self.condition.state is not InstanceState.DOWN:
            self._set(replace(self.condition, state=InstanceState.STARTING, reason="starting"))
        endpoint = await self._runtime.start()
        async with self._open_workplace(endpoint.base_url) as workplace:
            http = workplace.session.http
            version = await self._answering(http)
            catalog = await self._catalog(http)
            await self._hearing(workplace.session)
            await workplace.take_stock()
            self.workplace = workplace
            self._set(Condition(InstanceState.READY, "", version, catalog))
            logger.info("instance %s serves (ComfyUI %s)", self.name, version, extra={"action": "instance_ready"})
            try:
                await self._watch(workplace.session)
            except Exception as error:  # whatever it is, attempts must not lose their session by it
                self._set_down(error)
                self.workplace = None
                # Attempts find out by themselves what has become of their prompts.
                await workplace.wait_empty()
                raise
            finally:
                self.workplace = None

    async def _answering(self, http: ComfyHttp) -> str:
        """Wait until the server answers; answers its version."""
        while True:
            try:
                stats = await http.system_stats()
            except (ComfyUnreachable, ComfyError) as error:
                await self._check_process()
                if self.kind == "attach":
                    raise InstanceDownError(f"nothing answers: {error}") from error
                await asyncio.sleep(_PROBE_SECONDS)
            else:
                system = stats.get("system")
                version = system.get("comfyui_version") if isinstance(system, dict) else None
                return clean(str(version or "unknown"), _MAX_VERSION)

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

    async def _watch(self, session: ComfySession) -> None:
        """Look after the server for as long as it serves: now and then, and at once when its events cease."""
        missed, read = 0, time.monotonic()
        while True:
            if await session.lost(_WATCH_SECONDS):
                await asyncio.sleep(_PROBE_SECONDS)
            await self._check_process()
            try:
                await session.http.system_stats()
                missed = 0
            except (ComfyUnreachable, ComfyError) as error:
                missed += 1
                # One slow answer is no death: a native call may hold the server's interpreter for seconds.
                if missed >= _PROBES_MISSED or _refused(error):
                    raise InstanceDownError(f"it did not answer {missed} times: {error}") from error
            if not missed and time.monotonic() - read >= _CATALOG_SECONDS:
                read = time.monotonic()
                await self._renew_catalog(session.http)

    async def _check_process(self) -> None:
        try:
            status = await self._runtime.poll()
        except RuntimeFailed as error:
            # That says nothing about the server. Whether it answers is asked as well.
            logger.info("can't find out whether instance %s runs: %s", self.name, error)
            return
        match status:
            case Exited(code, reason):
                tail = await self._runtime.log_tail(5)
                raise InstanceDownError(f"it exited with {code} ({reason}); its last words: {tail[-500:]!r}")
            case Absent():
                raise InstanceDownError("it is gone" if self.kind != "attach" else "nothing listens at its address")
            case _:
                return

    async def _renew_catalog(self, http: ComfyHttp) -> None:
        try:
            catalog = await write_catalog(self._store, await _object_info(http))
        except (ComfyUnreachable, ComfyError, StoreUnavailableError) as error:
            logger.info("the catalog of %s can't be renewed now: %s", self.name, error)
            return
        if catalog != self.condition.catalog:
            self._set(Condition(InstanceState.READY, "", self.condition.version, catalog))

    async def _catalog(self, http: ComfyHttp) -> spec_pb2.BlobRef:
        info = await _object_info(http)
        return await patiently(
            lambda: write_catalog(self._store, info), StoreUnavailableError, what=f"store the catalog of {self.name}"
        )

    def _set_down(self, error: Exception) -> None:
        # What it offered it will most likely offer again: tasks for it may be taken, and wait.
        self._set(replace(self.condition, state=InstanceState.DOWN, reason=clean(str(error), _MAX_REASON)))

    def _set(self, condition: Condition) -> None:
        if condition != self.condition:
            self.condition = condition
            self._changed()


async def _object_info(http: ComfyHttp) -> bytes:
    return json.dumps(await http.object_info(), sort_keys=True, separators=(",", ":")).encode()


def _refused(error: ComfyUnreachable | ComfyError) -> bool:
    """Whether nothing listens any more."""
    return isinstance(error, ComfyUnreachable) and error.reason == REASON_REFUSED
