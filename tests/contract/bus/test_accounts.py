"""Nodes with NATS accounts of their own, on a real server: what one may do, and what is out of its reach."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from comfymesh.api.desk import answering
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.store import read_all
from comfymesh.bus import probe as module
from comfymesh.bus import subjects
from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection
from comfymesh.bus.intents import Intent, IntentStore
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.node_bus import NodeBus
from comfymesh.bus.port import BusError, BusUnavailableError, Entry, Message
from comfymesh.bus.probe import REFUSED, probe
from comfymesh.bus.streams import BLOBS, REPORTS, TASKS, WORK
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.runtime.background import Background
from comfymesh.runtime.patience import patiently
from comfymesh.tasks import events, machine
from comfymesh.tasks.record import Key, State
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.tasks import NOW, queued
from comfymesh.testkit.waiting import DEADLINE, take, until
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import spec_pb2

DEPLOY = Path(__file__).parents[3] / "deploy" / "nats"
PHOTO = b"a photo"


def keep_accounts(folder: Path, *arguments: str) -> None:
    """Run the program that keeps the accounts, as an operator does."""
    subprocess.run([sys.executable, DEPLOY / "accounts.py", folder, *arguments], check=True)


def test_a_node_that_is_not_there_is_not_taken_for_removed(tmp_path: Path) -> None:
    keep_accounts(tmp_path, "--add", "a")
    before = (tmp_path / "accounts.conf").read_text()
    program = [sys.executable, DEPLOY / "accounts.py", tmp_path, "--remove", "aa", "--add", "b"]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path} has no aa; it has: a\n")
    assert (tmp_path / "accounts.conf").read_text() == before


def url_of(folder: Path, user: str, server: NatsServer) -> str:
    """The URL in the settings that were made for a user."""
    lines = dict(line.split("=", 1) for line in (folder / f"{user}.env").read_text().splitlines())
    return lines["COMFYMESH_NATS_URL"].rpartition("@")[0] + "@" + server.url.removeprefix("nats://")


@dataclass
class World:
    """A mesh's own bus, and two nodes."""

    mesh: JetStreamBus
    a: NodeBus
    b: NodeBus
    urls: dict[str, str]
    server: NatsServer

    @property
    def log(self) -> TaskLog:
        return TaskLog(self.mesh)

    async def task_of(self, node: str, task_id: str) -> Stored:
        """A task that a node runs, with a photo as input."""
        with Content.of(PHOTO) as content:
            await BusStore(self.mesh).put("default", content)
            binding = spec_pb2.AssetBinding(
                graph_node="1", input="image", blob=spec_pb2.BlobRef(sha256=content.sha256, size_bytes=len(PHOTO))
            )
        spec = spec_pb2.Spec(graph_zlib=b"x" * 100_000, assets=[binding])
        stored = await self.log.create(queued(task_id), spec)
        return await self.log.change(stored, events.Assigned(node, "gpu0"), NOW)


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accounts")
    keep_accounts(folder, "--add", "a", "--add", "b")
    for name in ("single.conf", "guarded.conf"):
        shutil.copy(DEPLOY / name, folder)
    return folder


@pytest.fixture
async def world(accounts: Path, tmp_path: Path) -> AsyncIterator[World]:
    shutil.copytree(accounts, tmp_path, dirs_exist_ok=True)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(NatsServer(tmp_path, tmp_path / "guarded.conf"))
        urls = {user: url_of(tmp_path, user, server) for user in ("mesh", "a", "b")}
        mesh = await stack.enter_async_context(await JetStreamBus.open(urls["mesh"], "mesh"))
        background = await stack.enter_async_context(Background())
        await stack.enter_async_context(answering(urls["mesh"], None, mesh, background))
        nodes = {node: await stack.enter_async_context(await NodeBus.open_for(urls[node], node)) for node in "ab"}
        yield World(mesh, nodes["a"], nodes["b"], urls, server)


async def ask(bus: NodeBus, subject: str, data: bytes = b"", seconds: float = 10.0, **headers: str) -> Delivery:
    """Send a request with a node's credentials, past all of our own code."""
    async with asyncio.timeout(seconds):
        return await (await bus._connection.send(subject, data, headers or None))


async def test_a_node_takes_its_own_work(world: World) -> None:
    await world.mesh.append([Entry(subjects.work("a"), b"for a"), Entry(subjects.work("b"), b"for b")])
    (message,) = await take(world.a.work(WORK, subjects.work("a"), "a"), 1)
    assert message.data == b"for a"


async def test_work_goes_on_after_the_server_was_restarted_and_has_forgotten_it(world: World) -> None:
    work = world.a.work(WORK, subjects.work("a"), "a")
    await world.mesh.append([Entry(subjects.work("a"), b"one")])
    assert (await anext(work)).data == b"one"
    await world.server.restart()
    await until(lambda: world.mesh.connected and world.a.connected, "the connections")
    await patiently(
        lambda: world.mesh.append([Entry(subjects.work("a"), b"two")]), BusUnavailableError, what="hand out work"
    )
    assert (await anext(work)).data == b"two"


async def test_a_node_reports_and_is_told(world: World) -> None:
    told = list[Message]()
    await world.a.subscribe(subjects.control("a"), told.append)
    await world.a.subscribe(subjects.demand("a"), told.append)
    await world.a.ensure_work()
    await world.a.publish(subjects.report("a"), b"report")
    await until(lambda: world.mesh.last(REPORTS, subjects.report("a")), "the report")
    await world.mesh.publish(subjects.control("a"), b"order")
    await world.mesh.publish(subjects.demand("a"), b"demand")
    await until(lambda: len(told) == 2, "the order and the demand")


async def test_a_node_claims_runs_and_ends_a_task(world: World) -> None:
    log = TaskLog(world.a)
    stored = await world.log.create(queued("one"), spec_pb2.Spec(graph_zlib=b"g"))
    for event in (events.Assigned("a", "gpu0"), events.Started(NOW), events.Succeeded((), NOW)):
        stored = await log.change(stored, event, NOW)
    last = await world.log.get(stored.key)
    assert last is not None
    assert last.record.state is State.SUCCEEDED


async def test_a_node_reads_what_its_task_needs(world: World) -> None:
    stored = await world.task_of("a", "one")
    assert (await TaskLog(world.a).spec(stored.record)).graph_zlib == b"x" * 100_000
    with Content.of(PHOTO) as content:
        store = BusStore(world.a.for_task(stored.key))
        assert await read_all(store, "default", content.sha256, len(PHOTO)) == PHOTO


async def test_a_node_stores_what_its_task_made(world: World) -> None:
    with Content.of(b"a picture") as content:
        await BusStore(world.a).put("default", content)
        assert await read_all(BusStore(world.mesh), "default", content.sha256, 9) == b"a picture"


async def test_an_append_that_comes_late_is_refused_as_by_the_server(world: World) -> None:
    stored = await world.task_of("a", "one")
    await TaskLog(world.a).change(stored, events.Started(NOW), NOW)
    with pytest.raises(StaleRecordError) as refused:
        await TaskLog(world.a).change(stored, events.Succeeded((), NOW), NOW)
    assert refused.value.last is not None
    assert refused.value.last.record.state is State.RUNNING


async def test_a_node_can_not_consume_the_work_of_another(world: World) -> None:
    await world.mesh.append([Entry(subjects.work("b"), b"for b")])
    with pytest.raises(BusUnavailableError):
        await NodeBus(world.a._connection, "b", timeout=1.0).ensure_work()
    for method in ("CONSUMER.MSG.NEXT.WORK.b", "STREAM.MSG.GET.WORK", "DIRECT.GET.WORK.work.b", "STREAM.PURGE.WORK"):
        assert b"for b" not in await answers(world.a, f"$JS.API.{method}", b'{"seq":1}')
    (message,) = await take(world.b.work(WORK, subjects.work("b"), "b"), 1)
    assert message.data == b"for b"


async def answers(bus: NodeBus, subject: str, data: bytes = b"") -> bytes:
    """What a node with its credentials gets to hear on a request; nothing where nobody answers."""
    try:
        return (await ask(bus, subject, data, seconds=1.0)).data
    except (TimeoutError, BusError):
        return b""


@pytest.mark.parametrize(
    "subject",
    [
        "report.b",
        "work.b",
        "control.b",
        "interest.b",
        "demand.a",
        "demand.b",
        "wanted.b",
        "lease.scheduler",
        "task.default.x",
    ],
)
async def test_a_node_can_not_publish_what_is_not_its_own(world: World, subject: str) -> None:
    heard = list[Message]()
    await world.mesh.subscribe(subject, heard.append)
    await world.mesh.subscribe("report.a", heard.append)
    await world.mesh.last(REPORTS, "report.a")  # answered after the subscriptions were taken
    await world.a.publish(subject, b"forged")
    await world.a.publish("report.a", b"honest")
    await until(lambda: heard, "the report that came after")
    assert [message.subject for message in heard] == ["report.a"]


async def test_a_node_can_not_have_an_answer_sent_where_it_may_not_send(world: World) -> None:
    """In one account for all, the server delivers an answer to any subject that the request names."""
    stored = await world.task_of("a", "one")
    for target in ("report.b", "control.b", "task.default.two"):
        headers = {"Comfymesh-Subject": subjects.task(stored.key)}
        await world.a._connection.publish("desk.a.last", b"", target, headers)
    await ask(world.a, "desk.a.last", b"", **{"Comfymesh-Subject": subjects.task(stored.key)})
    assert await world.mesh.last(REPORTS, "report.b") is None
    assert await world.mesh.last(TASKS, "task.default.two") is None


async def test_a_node_hears_nothing_that_is_not_its_own(world: World) -> None:
    heard = list[Message]()
    for subject in (">", "control.b", "demand.b", "work.*", "task.>", "_INBOX.>"):
        await world.a.subscribe(subject, heard.append)
    await world.a.ensure_work()
    heard.clear()
    await world.task_of("b", "one")
    await world.b.publish(subjects.report("b"), b"report")
    await world.mesh.publish(subjects.control("b"), b"order")
    await world.mesh.publish(subjects.demand("b"), b"demand")
    await world.mesh.publish(subjects.control("a"), b"mine")
    await until(lambda: heard, "the order that came after")
    assert {message.data for message in heard} == {b"mine"}


async def test_a_node_can_not_read_the_tasks_graphs_and_files_of_another(world: World) -> None:
    theirs = await world.task_of("b", "theirs")
    mine = await world.task_of("a", "mine")
    digest = theirs.record.definition.spec.digest
    with Content.of(b"theirs alone") as content:
        await BusStore(world.mesh).put("default", content)
        blob = subjects.blob("default", content.sha256, 0)
    assert await world.a.last(TASKS, subjects.task(theirs.key)) is None
    for stream, subject in (
        (TASKS, subjects.spec(theirs.key, digest)),
        (TASKS, "spec.default.*.*"),
        (TASKS, "task.default.*"),
        (TASKS, "task.>"),
        (BLOBS, blob),
        (BLOBS, "blob.default.*.0"),
    ):
        with pytest.raises(BusUnavailableError, match="refused"):
            await world.a.for_task(mine.key).last(stream, subject)
        with pytest.raises(BusUnavailableError, match="refused"):
            await world.a.for_task(theirs.key).last(stream, subject)
        assert b"theirs" not in await answers(world.a, f"$JS.API.DIRECT.GET.{stream.name}.{subject}")


async def test_a_node_that_lost_a_task_can_not_read_it_any_more(world: World) -> None:
    stored = await world.task_of("a", "one")
    released = await world.log.change(stored, events.Released("lost"), NOW)
    await world.log.change(released, events.Assigned("b", "gpu0"), NOW)
    assert await TaskLog(world.a).get(stored.key) is None
    with pytest.raises(BusUnavailableError, match="does not hold"):
        await TaskLog(world.a).spec(stored.record)


async def forgeries(world: World) -> AsyncIterator[tuple[Stored, events.Event, dict[str, Any]]]:
    """Records that a node must not write: the one before, the event, and what is forged of the outcome."""
    theirs = await world.task_of("b", "theirs")
    yield theirs, events.Succeeded((), NOW), {}
    yield theirs, events.Succeeded((), NOW), {"node": "a"}
    yield theirs, events.Released("mine now"), {}
    waiting = await world.log.create(queued("waiting"), spec_pb2.Spec())
    yield waiting, events.Assigned("b", "gpu0"), {}
    yield waiting, events.Assigned("a", "gpu0"), {"attempt": 7}
    yield waiting, events.CancelRequested("mischief"), {}
    mine = await world.task_of("a", "mine")
    yield mine, events.Started(NOW), {"state": State.QUEUED}
    yield mine, events.Started(NOW), {"attempt": 2}


async def test_a_node_can_not_write_records_that_are_not_its_to_write(world: World) -> None:
    count = 0
    async for before, event, forged in forgeries(world):
        record = replace(machine.apply(before.record, event, NOW), **forged)
        with pytest.raises(BusUnavailableError, match="refused"):
            await TaskLog(world.a).append(record, before.sequence)
        last = await world.log.get(before.key)
        assert last is not None
        assert last.sequence == before.sequence, (event, forged)
        count += 1
    assert count == 8


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"x" * 100_000])
@pytest.mark.parametrize("headers", [{}, {"Comfymesh-Subject": "task.default.mine", "Comfymesh-Expected": "-1e9"}])
async def test_nonsense_is_refused_and_takes_nothing_down(world: World, data: bytes, headers: dict[str, str]) -> None:
    await world.task_of("a", "mine")
    for verb in ("append", "last", "nonsense"):
        answer = await ask(world.a, f"desk.a.{verb}", data, **headers)
        assert answer.status in {200, 403, 409}
    assert (await world.a.ensure_work()) > 0


async def test_a_node_can_not_change_what_a_task_is(world: World) -> None:
    mine = await world.task_of("a", "mine")
    record = machine.apply(mine.record, events.Started(NOW), NOW)
    await TaskLog(world.a).append(replace(record, definition=replace(record.definition, priority=99)), mine.sequence)
    last = await world.log.get(mine.key)
    assert last is not None
    assert (last.record.state, last.record.definition) == (State.RUNNING, mine.record.definition)


async def test_streams_and_consumers_are_out_of_reach(world: World) -> None:
    await world.task_of("b", "theirs")
    for method in ("STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.TASKS", "STREAM.DELETE.TASKS", "STREAM.PURGE.TASKS"):
        assert b"TASKS" not in await answers(world.a, f"$JS.API.{method}"), method
    create = json.dumps({"stream_name": "WORK", "config": {"name": "a", "deliver_subject": "report.b"}}).encode()
    assert b'"config"' not in await answers(world.a, "$JS.API.CONSUMER.CREATE.WORK.a.work.a", create)
    assert await world.log.get(Key("default", "theirs")) is not None


async def refusal(url: str) -> str:
    """Why the server lets nobody in with these credentials."""
    with pytest.raises(BusUnavailableError) as refused:
        await Connection.open(url, "b", patient=False)
    return str(refused.value)


async def test_a_removed_node_is_refused_once_the_server_has_read_the_accounts_again(
    world: World, tmp_path: Path
) -> None:
    keep_accounts(tmp_path, "--remove", "b")
    world.server.reload()
    await until(lambda: not world.b.connected, "the end of the connection")
    # The server may hang up before it was read why; asked again it says so.
    while "Authorization" not in await refusal(world.urls["b"]):
        pass
    assert world.a.connected


async def test_the_check_tells_whether_the_credentials_suffice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "_SECONDS", DEADLINE)
        assert (await probe(world.urls["a"], "a", own_account=True)).refusal == ""
    assert (await probe(world.urls["a"], "b", own_account=True)).refusal == REFUSED


def test_passwords_are_for_their_owner_alone(tmp_path: Path) -> None:
    keep_accounts(tmp_path, "--add", "a")
    keep_accounts(tmp_path, "--add", "b")
    secret = (tmp_path / "a.env").read_text().partition("a:")[2].partition("@")[0]
    assert len(secret) >= 43
    assert (tmp_path / "a.env").stat().st_mode & 0o777 == 0o600
    assert all(secret not in path.read_text() for path in tmp_path.glob("accounts.*"))
    assert (tmp_path / "accounts.conf").read_text().count('"$2a$') == 3


async def test_a_node_may_read_what_is_wanted_of_it_and_of_no_other(world: World) -> None:
    cordoned = Intent("a", node_pb2.Node.AVAILABILITY_CORDONED, "the fan is loud")
    await IntentStore(world.mesh).change("a", lambda _: cordoned)
    assert await IntentStore(world.a).read("a") == cordoned
    with pytest.raises(BusError):
        await IntentStore(world.b).read("a")
    assert await IntentStore(world.b).read("b") == Intent("b")
