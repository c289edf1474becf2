"""Removes blobs that nobody needs, and assets that nobody has used for long. docs/adr/0037 says why it may."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api import metering
from comfymesh.api.access.directory import Directory
from comfymesh.api.assets import Assets, Known
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.turns import Turns
from comfymesh.api.uploads import read_record
from comfymesh.artifacts.errors import StoreUnavailableError
from comfymesh.artifacts.garbage import Look, Suspects, blobs_of
from comfymesh.artifacts.store import BlobStore, Version
from comfymesh.bus import records, subjects
from comfymesh.bus.port import Bus, BusError, Message
from comfymesh.bus.records import UnreadableRecordError
from comfymesh.bus.streams import BLOBS, TASKS, WORKFLOWS
from comfymesh.bus.tasklog import SpecMissingError, Stored, TaskLog
from comfymesh.tasks import rights
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.record import HELD
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import workflow_record_pb2

logger = logging.getLogger(__name__)

_PAGE = 250
_HELD = frozenset(task_pb2.Task.State.Value(f"STATE_{state}") for state in HELD)

Removal = tuple[str, Version]
"""Whose blob, and which."""


@dataclass(slots=True)
class _Seen:
    """What is known of the blobs of one tenant, while the tasks are read."""

    versions: list[Version]
    named: set[str] = field(default_factory=set)
    oldest_attempt: float = float("inf")
    doubt: str = ""
    """Why there may be names that were not read; empty where all were."""

    def look(self, began: float) -> Look:
        idle = (version for version in self.versions if version.superseded or version.sha256 not in self.named)
        return Look(began, frozenset(idle), self.oldest_attempt)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things are kept, in seconds.

    Attributes:
        grace: A blob that nothing names; see `Suspects`.
        unused: An asset that nothing has used; infinity for ever.
    """

    grace: float
    unused: float


def terms(grace_hours: float, unused_days: float) -> Terms:
    """As they are set; no days mean for ever."""
    return Terms(grace_hours * 3600.0, unused_days * 86400.0 or float("inf"))


class Sweeper:
    """Looks for what can go. Several do no harm, but more work; see `Turns`.

    Args:
        bus: Where assets and uploads are described.
        store: Where the blobs are.
        tasks: All of them, and what tells how far that has come.
        directory: All tenants.
        assets: Removes those that are unused.
        terms: How long things are kept.
        clock: Answers seconds since the epoch.
    """

    def __init__(  # all that may name a blob is asked
        self,
        bus: Bus,
        store: BlobStore,
        tasks: tuple[ReadModel, Hub],
        directory: Directory,
        assets: Assets,
        terms: Terms,
        clock: Callable[[], float],
    ) -> None:
        self._bus = bus
        self._log = TaskLog(bus)
        self._store = store
        self._model, self._hub = tasks
        self._directory = directory
        self._assets = assets
        self._terms = terms
        self._clock = clock
        self._suspects: dict[str, Suspects] = defaultdict(lambda: Suspects(terms.grace))

    async def sweep(self) -> int:
        """Remove what can go; answers how many blobs went.

        Raises:
            BusError, StoreUnavailableError: not all could be looked at or removed. The next sweep begins anew.
        """
        removals = await self.look()
        for removal in removals:
            await self.remove(removal)
            metering.removed(1)
        if removals:
            fields = {"action": "blobs_removed", "count": len(removals)}
            logger.info("removed %d blobs that nothing names", len(removals), extra=fields)
        # Last, since it writes: on a disk that is full only what is above makes room.
        await self.remove_unused()
        return len(removals)

    async def look(self) -> list[Removal]:
        """Look at everything once; answers what can be removed by now, or any time later.

        First at the blobs, then at what names them: whatever was put later is not among those.
        """
        began = self._clock()
        seen = {tenant: _Seen([each async for each in self._store.versions(tenant)]) for tenant in self._tenants()}
        await self._caught_up()
        for tenant, its in seen.items():
            try:
                its.named.update([sha256 async for sha256 in self._brought(tenant)])
            except UnreadableRecordError as error:
                its.doubt = str(error)
        await self._read_tasks(seen)
        for key in self._model.unreadable:
            if key.tenant in seen:
                seen[key.tenant].doubt = f"the record of task {key.task_id} can't be read"
        return [(tenant, version) for tenant, its in seen.items() for version in self._removable(tenant, its, began)]

    def _removable(self, tenant: str, its: _Seen, began: float) -> list[Version]:
        """What of a tenant can be removed. What is in a message that can't be read, nobody knows: then nothing can.

        Nor is anything suspected any more: it may have been named while nobody could tell.
        """
        if not its.doubt:
            return self._suspects[tenant].look(its.look(began))
        self._suspects.pop(tenant, None)
        logger.warning("no blob of %s is removed: %s", names.tenant(tenant), its.doubt, extra=_doubt(tenant))
        return []

    async def remove(self, removal: Removal) -> None:
        """Remove what was found. What was put since stays, however late this comes."""
        await self._store.remove(*removal)

    async def remove_unused(self) -> int:
        """Remove assets that nothing has used for long; answers how many. Their blobs go like all others."""
        count = 0
        for tenant in self._tenants():
            try:
                old = [known async for known in self._unused(tenant)]
                kept = await self._defaults(tenant) if old else set()
            except UnreadableRecordError as error:
                logger.warning("no asset of %s is removed: %s", names.tenant(tenant), error, extra=_doubt(tenant))
                continue
            for known in old:
                if names.asset(known.record.blob.sha256) not in kept:
                    count += await self._assets.remove(tenant, known)
        if count:
            logger.info("removed %d unused assets", count, extra={"action": "assets_removed", "count": count})
        return count

    async def _unused(self, tenant: str) -> AsyncIterator[Known]:
        before = self._clock() - self._terms.unused
        async for known in self._assets.every(tenant):
            if known.last_use >= before:
                return  # they come in order of their last use
            yield known

    async def _defaults(self, tenant: str) -> set[str]:
        """Assets that versions of workflows name as the value of an input that a task does not give."""
        found, place = set[str](), 0
        contents = subjects.workflow_content(tenant, "*", "*")
        while messages := await self._bus.after(WORKFLOWS, contents, place, _PAGE):
            for message in messages:
                content = _content(message)
                found.update(wanted.default_value.asset for wanted in content.inputs)
            place = messages[-1].sequence
        return found

    async def _caught_up(self) -> None:
        """Wait until the model has every record that was stored before this was called."""
        place, end = self._hub.position, (await self._bus.state(TASKS)).last
        while place < end:
            messages = await self._bus.after(TASKS, subjects.ALL_TASKS, place, _PAGE)
            if not messages:
                return
            read = [records.try_to_read(message, logging.DEBUG) for message in messages]
            if stored := [item for item in read if isinstance(item, Stored)]:
                await self._hub.until(stored[-1].sequence)
            place = messages[-1].sequence

    async def _brought(self, tenant: str) -> AsyncIterator[str]:
        """Every blob that an asset or an upload under way is made of."""
        async for known in self._assets.every(tenant):
            yield known.record.blob.sha256
        place = 0
        while messages := await self._bus.after(BLOBS, subjects.upload(tenant, "*"), place, _PAGE):
            for message in messages:
                for part in read_record(message).parts:
                    yield part.sha256
            place = messages[-1].sequence

    def _tenants(self) -> list[str]:
        return [names.parse_tenant(tenant.name) for tenant in self._directory.tenants()]

    async def _read_tasks(self, seen: dict[str, _Seen]) -> None:
        place = 0
        while True:
            page, end = self._model.records(place, _PAGE)
            for stored in page:
                if (its := seen.get(stored.key.tenant)) is not None:  # else made after the blobs were listed
                    await self._note(stored, its)
            if end == place:
                return
            place = end
            await asyncio.sleep(0)  # there may be a million, and callers wait

    async def _note(self, stored: Stored, its: _Seen) -> None:
        its.named.update(blobs_of(stored.message))
        if not stored.message.spec.blobs_known:
            # Written by who knew no such field, or passed through their hands.
            try:
                its.named.update(rights.blobs_of(await self._log.spec_of(stored)))
            except (SpecMissingError, DecodeError) as error:
                its.doubt = f"what task {stored.key.task_id} reads is not known: {error}"
        if (task := stored.task).state in _HELD:
            began = seconds(task.start_time if task.HasField("start_time") else task.update_time)
            its.oldest_attempt = min(its.oldest_attempt, began)


def _content(message: Message) -> workflow_record_pb2.WorkflowContent:
    try:
        return workflow_record_pb2.WorkflowContent.FromString(message.data)
    except DecodeError as error:
        raise UnreadableRecordError(
            message.subject, message.sequence, str(error), "workflow", WORKFLOWS.name
        ) from error


def _doubt(tenant: str) -> dict[str, str]:
    return {"action": "sweep_doubtful", "tenant": tenant}


async def run(sweeper: Sweeper, turns: Turns, every: float, tick: float = 60.0) -> None:
    """Sweep for ever, when it is our turn and we did not for `every` seconds.

    Nobody who waits for an answer needs the sweep: whatever goes wrong in it must not end the api.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        try:
            if await turns.take() and loop.time() >= due:
                due = loop.time() + every
                await sweeper.sweep()
        except (BusError, StoreUnavailableError) as error:
            logger.warning("blobs can't be swept now: %s", error, extra={"action": "sweep_failed"})
        except Exception:
            logger.exception("a sweep ended by a defect", extra={"action": "sweep_defect"})
        await asyncio.sleep(tick)
