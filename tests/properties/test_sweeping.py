"""Blobs are swept while others put, name and drop them: nothing that is named is ever missing, and what is not goes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from unittest.mock import MagicMock

import obstore
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from obstore.store import MemoryStore

from comfymesh import names
from comfymesh.api import sweeping
from comfymesh.api.access.directory import Directory
from comfymesh.api.assets import Assets, Known
from comfymesh.api.errors import RefusedError
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.sweeping import Removal, Sweeper, Terms
from comfymesh.api.uploads import Uploads
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.errors import BlobMissingError
from comfymesh.artifacts.garbage import Look, Suspects
from comfymesh.artifacts.object_store import FRESH, ObjectStore, _Object
from comfymesh.artifacts.store import BlobStore, Version, read_all
from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.bus.streams import BLOBS
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.events import Started, Succeeded
from comfymesh.tasks.record import Artifact, ArtifactKind, Key, SpecRef
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import DIGEST, assigned, failed, queued
from comfymesh.v1 import asset_pb2
from comfymesh.wire.v1 import spec_pb2

T = TypeVar("T")

HOUR = 3600.0
TENANT = "default"
TERMS = Terms(grace=6 * HOUR, unused=72 * HOUR)
RETENTION = 24 * HOUR
SOON = 0.9 * FRESH
"""Within so long is named what was put or found. The api takes seconds; attempts may take as long as they like."""

CONTENTS = [f"content {number}".encode() * 3 for number in range(2)]
SIZES = {digest: len(data) for data in CONTENTS for digest in [hashlib.sha256(data).hexdigest()]}
contents = st.sampled_from(CONTENTS)
picks = st.integers(0, 1000)


class TimedStore(ObjectStore):
    """An object store on the test's clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(MemoryStore(), clock)
        self.times: dict[str, float] = {}

    async def put(self, owner: str, content: Content) -> None:
        await super().put(owner, content)
        await self._list(f"{owner}/{content.sha256}")

    async def _list(self, prefix: str) -> list[_Object]:
        found = await super()._list(prefix)
        return [_Object(self.times.setdefault(each.path, self._clock()), each.path, each.size_bytes) for each in found]


@dataclass
class Attempt:
    """A task under way, and what it has stored."""

    stored: Stored
    made: list[bytes] = field(default_factory=list)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class World(RuleBasedStateMachine):
    """One tenant, two replicas that sweep, and everybody who puts and names blobs, each cut in two by the others."""

    def make_store(self) -> BlobStore:
        return BusStore(self.bus)

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.bus = MemoryBus(self.clock)
        self.store = self.make_store()
        self.log = TaskLog(self.bus)
        self.number = 0
        self.unnamed: list[tuple[float, Coroutine[Any, Any, None]]] = []
        self.attempts: list[Attempt] = []
        self.waiting: list[Stored] = []
        self.ended: list[Stored] = []
        self.sizes: dict[str, int] = dict(SIZES)
        self.run(self.begin())

    async def begin(self) -> None:
        quotas = MagicMock()
        self.assets = Assets(self.bus, self.store, self.clock, 10**6, quotas)
        self.uploads = Uploads(self.bus, self.store, self.assets, self.clock, quotas, least=1)
        model = ReadModel()
        hub = Hub(model)
        self.following = asyncio.ensure_future(hub.follow(self.log.events()))
        await hub.ready.wait()
        directory = Directory(self.bus, self.clock)
        self.sweepers = [
            Sweeper(self.bus, self.store, (model, hub), directory, self.assets, TERMS, self.clock) for _ in range(2)
        ]
        self.removals: list[Removal] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def later(self, naming: Coroutine[Any, Any, None]) -> None:
        """What was found is named some time later."""
        self.unnamed.append((self.clock() + SOON, naming))

    # Those who bring and name blobs.

    @rule(data=contents)
    def upload(self, data: bytes) -> None:
        self.run(self.put(data))

        async def name() -> None:
            record = spec_pb2.AssetRecord(blob={"sha256": digest(data), "size_bytes": len(data)})
            record.create_time = self.clock()
            await self.assets._bus.append([self.entry(record)])

        self.later(name())

    @rule(data=contents)
    def upload_a_part(self, data: bytes) -> None:
        self.run(self.send(data, len(data) // 2))

    @rule(data=contents)
    def upload_the_rest(self, data: bytes) -> None:
        begun = self.run(self.uploads.begin(TENANT, "", digest(data), len(data)))
        if isinstance(begun, asset_pb2.Upload) and begun.committed_bytes:
            assert self.run(self.send(data, len(data))) == "stored"

    @rule(data=contents)
    def create_a_task(self, data: bytes) -> None:
        known = self.run(self.assets.use(TENANT, digest(data)))
        if known is not None:
            self.later(self.create((digest(data),)))

    @precondition(lambda self: self.ended)
    @rule(pick=picks)
    def requeue_a_task(self, pick: int) -> None:
        ended = self.ended[pick % len(self.ended)]
        self.later(self.create(ended.record.definition.spec.blobs or ()))

    @precondition(lambda self: self.unnamed)
    @rule(pick=picks)
    def name(self, pick: int) -> None:
        _, naming = self.unnamed.pop(pick % len(self.unnamed))
        self.run(naming)

    @precondition(lambda self: self.waiting)
    @rule(pick=picks)
    def start_a_task(self, pick: int) -> None:
        stored = self.waiting.pop(pick % len(self.waiting))
        for event in (assigned(), Started()):
            stored = self.run(self.log.change(stored, event, self.clock()))
        self.attempts.append(Attempt(stored))

    @precondition(lambda self: self.attempts)
    @rule(pick=picks, data=contents)
    def make_an_output(self, pick: int, data: bytes) -> None:
        self.run(self.put(data))
        self.attempts[pick % len(self.attempts)].made.append(data)

    @precondition(lambda self: self.attempts)
    @rule(pick=picks, success=st.booleans())
    def end_a_task(self, pick: int, *, success: bool) -> None:
        attempt = self.attempts.pop(pick % len(self.attempts))
        artifacts = tuple(
            Artifact(str(n), "a.png", "image/png", len(data), digest(data), "2", "images", ArtifactKind.OUTPUT)
            for n, data in enumerate(attempt.made)
        )
        event = Succeeded(artifacts) if success else failed()
        self.ended.append(self.run(self.log.change(attempt.stored, event, self.clock())))

    # Those who drop.

    @rule(data=contents)
    def remove_an_asset(self, data: bytes) -> None:
        if (known := self.run(self.assets.find(TENANT, digest(data)))) is not None:
            self.run(self.assets.remove(TENANT, known))

    @rule()
    def drop_old_tasks(self) -> None:
        old = [stored for stored in self.ended if self.clock() - stored.record.update_time >= RETENTION]
        for stored in old:
            self.run(self.log.drop(stored))
            self.ended.remove(stored)

    # Those who sweep, each as slow as it likes.

    @rule(which=st.integers(0, 1))
    def look(self, which: int) -> None:
        self.removals += self.run(self.sweepers[which].look())

    @precondition(lambda self: self.removals)
    @rule(pick=picks)
    def remove(self, pick: int) -> None:
        removal = self.removals.pop(pick % len(self.removals))
        self.run(self.sweepers[pick % 2].remove(removal))

    @rule(which=st.integers(0, 1))
    def look_again(self, which: int) -> None:
        """One replica looks, and once more as soon as it may remove what it saw: here is where races are lost."""
        self.look(which)
        self.wait(6.1)
        self.look(which)

    @rule()
    def remove_unused(self) -> None:
        self.run(self.sweepers[0].remove_unused())

    @rule(hours=st.sampled_from([0.2, 0.8, 2.5, 6.1, 13.0, 30.0]))
    def wait(self, hours: float) -> None:
        end = self.clock() + hours * HOUR
        for due, naming in sorted(self.unnamed, key=lambda each: each[0]):
            if due <= end:
                self.clock.now = max(self.clock.now, due)
                self.run(naming)
                self.unnamed.remove((due, naming))
        self.clock.now = end

    @invariant()
    def nothing_that_is_named_is_missing(self) -> None:
        for sha256 in self.run(self.named()):
            data = self.run(read_all(self.store, TENANT, sha256, self.sizes[sha256]))
            assert digest(data) == sha256

    def teardown(self) -> None:
        try:
            self.run(self.all_goes())
        finally:
            self.close()

    def close(self) -> None:
        self.following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self.run(self.wait_for(self.following))
        for _, naming in self.unnamed:
            naming.close()
        self.loop.close()

    async def all_goes(self) -> None:
        """Once nothing is named any more, nothing is left after some sweeps."""
        for attempt in self.attempts:
            self.ended.append(await self.log.change(attempt.stored, failed(), self.clock()))
        for stored in self.ended:
            await self.log.drop(stored)
        async for known in self.all_assets():
            await self.assets.remove(TENANT, known)
        waiting = {sha256 for stored in self.waiting for sha256 in stored.record.definition.spec.blobs or ()}
        for _ in range(4):
            self.clock.advance(23 * HOUR)
            for removal in await self.sweepers[0].look():
                await self.sweepers[0].remove(removal)
        assert {version.sha256 async for version in self.store.versions(TENANT)} == waiting

    async def named(self) -> set[str]:
        found = {known.record.blob.sha256 async for known in self.all_assets()}
        for stored in (*self.waiting, *self.ended, *(attempt.stored for attempt in self.attempts)):
            found.update(stored.record.definition.spec.blobs or ())
            found.update(artifact.sha256 for artifact in stored.record.artifacts)
        found.update(digest(data) for attempt in self.attempts for data in attempt.made)
        for message in await self.bus.after(BLOBS, subjects.upload(TENANT, "*"), 0, 1000):
            found.update(part.sha256 for part in spec_pb2.UploadRecord.FromString(message.data).parts)
        return found

    async def all_assets(self) -> AsyncIterator[Known]:
        found, _ = await self.assets.page(TENANT, 0, 1000)
        for known in found:
            yield known

    async def create(self, blobs: tuple[str, ...]) -> None:
        self.number += 1
        spec = SpecRef(DIGEST, 100, blobs=blobs)
        record = queued(key=Key(TENANT, f"t{self.number}"), spec=spec, create_time=self.clock())
        self.waiting.append(await self.log.create(record, spec_pb2.Spec()))

    async def put(self, data: bytes) -> None:
        with Content.of(data) as content:
            await self.store.put(TENANT, content)

    async def send(self, data: bytes, end: int) -> str:
        begun = await self.uploads.begin(TENANT, "", digest(data), len(data))
        if isinstance(begun, asset_pb2.Asset):
            return "known"
        start = begun.committed_bytes
        self.sizes[digest(data[start:end])] = end - start

        async def pieces() -> AsyncIterator[bytes]:
            yield data[start:end]

        try:
            await self.uploads.receive(TENANT, names.upload(digest(data)), start, pieces())
        except RefusedError:
            return "more to come"
        return "stored"

    def entry(self, record: spec_pb2.AssetRecord) -> Entry:
        return Entry(subjects.asset(TENANT, record.blob.sha256), record.SerializeToString())

    async def wait_for(self, task: asyncio.Future[Any]) -> None:
        await task


class WorldWithObjects(World):
    def make_store(self) -> BlobStore:
        return TimedStore(self.clock)


@pytest.mark.parametrize("world", [World, WorldWithObjects], ids=["bus", "objects"])
def test_nothing_that_is_named_is_ever_missing(world: type[World]) -> None:
    chosen = settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(world, settings=chosen)


class ForgetfulOfAttempts(Suspects):
    """Does not care what attempts under way have stored."""

    def look(self, look: Look) -> list[Version]:
        return super().look(replace(look, oldest_attempt=float("inf")))


class Hasty(Suspects):
    """Removes what it sees for the first time."""

    def look(self, look: Look) -> list[Version]:
        return sorted(look.idle)


class LatePurge(BusStore):
    """Removes whatever is there by then."""

    async def remove(self, owner: str, version: Version) -> None:
        await super().remove(owner, replace(version, until=2**62))


class OneName(TimedStore):
    """Calls every putting the same."""

    async def put(self, owner: str, content: Content) -> None:
        pieces = [piece async for piece in content.chunks()]
        await obstore.put_async(self._backend, f"{owner}/{content.sha256}/0", b"".join(pieces))
        self.times[f"{owner}/{content.sha256}/0"] = self._clock()


class PartsUnknown(Sweeper):
    """Knows nothing of uploads under way."""

    async def _brought(self, tenant: str) -> AsyncIterator[str]:
        async for known in self._assets.every(tenant):
            yield known.record.blob.sha256


# Of each race one play: what somebody does, step by step.
PLAYS: dict[str, Callable[[World], None]] = {}


def play(work: Callable[[World], None]) -> Callable[[World], None]:
    PLAYS[work.__name__] = work
    return work


@play
def an_output_waits_for_the_end_of_its_attempt(world: World) -> None:
    begin_a_task(world)
    world.make_an_output(pick=0, data=CONTENTS[1])
    sweep_all(world)
    world.end_a_task(pick=0, success=True)


@play
def a_sweep_comes_between_an_upload_and_its_name(world: World) -> None:
    world.upload(data=CONTENTS[0])
    world.look(which=0)
    remove_all(world)
    world.name(pick=0)


@play
def a_removal_is_late_and_the_same_is_uploaded_meanwhile(world: World) -> None:
    world.run(world.put(CONTENTS[0]))
    world.wait(hours=2.5)
    world.look(which=0)
    world.wait(hours=6.1)
    world.look(which=0)
    world.upload(data=CONTENTS[0])
    world.name(pick=0)
    remove_all(world)


@play
def an_upload_is_given_up_for_most_of_a_day(world: World) -> None:
    world.upload_a_part(data=CONTENTS[0])
    world.wait(hours=2.5)
    sweep_all(world)


@play
def an_asset_is_removed_while_a_task_is_made_of_it(world: World) -> None:
    world.upload(data=CONTENTS[0])
    world.name(pick=0)
    world.wait(hours=30)
    world.create_a_task(data=CONTENTS[0])
    world.remove_an_asset(data=CONTENTS[0])
    world.look(which=0)
    remove_all(world)
    world.name(pick=0)
    sweep_all(world)


@play
def a_task_is_dropped_while_it_is_requeued(world: World) -> None:
    begin_a_task(world)
    world.remove_an_asset(data=CONTENTS[0])
    world.end_a_task(pick=0, success=False)
    world.wait(hours=30)
    world.requeue_a_task(pick=0)
    world.drop_old_tasks()
    world.look(which=0)
    remove_all(world)
    world.name(pick=0)
    sweep_all(world)


def begin_a_task(world: World) -> None:
    world.upload(data=CONTENTS[0])
    world.name(pick=0)
    world.create_a_task(data=CONTENTS[0])
    world.name(pick=0)
    world.start_a_task(pick=0)


def sweep_all(world: World) -> None:
    for _ in range(3):
        world.look(which=0)
        remove_all(world)
        world.wait(hours=6.1)
        world.nothing_that_is_named_is_missing()


def remove_all(world: World) -> None:
    while world.removals:
        world.remove(pick=0)


def perform(kind: type[World], name: str) -> None:
    world = kind()
    try:
        PLAYS[name](world)
        world.nothing_that_is_named_is_missing()
        world.run(world.all_goes())
    finally:
        world.close()


@pytest.mark.parametrize("world", [World, WorldWithObjects], ids=["bus", "objects"])
@pytest.mark.parametrize("name", list(PLAYS))
def test_a_race_is_lost_by_the_sweep(world: type[World], name: str) -> None:
    perform(world, name)


@pytest.mark.parametrize(
    ("name", "world", "place", "planted"),
    [
        ("an_output_waits_for_the_end_of_its_attempt", World, "Suspects", ForgetfulOfAttempts),
        ("a_sweep_comes_between_an_upload_and_its_name", World, "Suspects", Hasty),
        ("a_removal_is_late_and_the_same_is_uploaded_meanwhile", World, "BusStore", LatePurge),
        ("a_removal_is_late_and_the_same_is_uploaded_meanwhile", WorldWithObjects, "TimedStore", OneName),
        ("an_upload_is_given_up_for_most_of_a_day", World, "Sweeper", PartsUnknown),
        ("an_asset_is_removed_while_a_task_is_made_of_it", World, "Suspects", Hasty),
        ("a_task_is_dropped_while_it_is_requeued", World, "Suspects", Hasty),
    ],
)
def test_what_is_planted_is_found(
    name: str, world: type[World], place: str, planted: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping if place == "Suspects" else sys.modules[__name__], place, planted)
    with pytest.raises(BlobMissingError):
        perform(world, name)
