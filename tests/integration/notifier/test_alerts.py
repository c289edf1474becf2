"""From the task log to a receiver, with a notifier that is killed on the way."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from standardwebhooks import Webhook

from comfymesh.bus import streams, subjects
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.testkit import pages
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.receivers import Received, Receiver
from comfymesh.testkit.waiting import until

from .conftest import SECRET, NotifierProcess, Tasks

FAILED = {"name": "failed", "kind": "task_failed", "wait": "1s"}


def ids(received: list[Received]) -> list[str]:
    return [request.json["message"].rpartition("notice: ")[2] for request in received]


async def notices(bus: JetStreamBus) -> int:
    return len(await bus.after(streams.ALERTS, subjects.ALL_NOTICES, 0, 100))


async def test_failing_tasks_lead_to_one_message_with_their_number(
    notifier: NotifierProcess, tasks: Tasks, ops: Receiver, bus: JetStreamBus
) -> None:
    notifier.rule(FAILED, channels={"ops": f"json://127.0.0.1:{ops.port}/hook"})
    await notifier.start()
    await asyncio.gather(*(tasks.fail(f"t{number}") for number in range(50)))
    (request,) = await ops.until_received(1)
    assert request.json["title"].startswith("[ERROR] failed")
    assert request.json["type"] == "failure"
    assert "class: NODE_EXCEPTION" in request.json["message"]
    await until(lambda: bus.last(streams.ALERTS, subjects.delivered(ids([request])[0], "ops")), "a note of it")
    line = json.loads(await until(lambda: notifier.alert_log.exists() and notifier.alert_log.read_text(), "a line"))
    assert (line["rule"], line["kind"], line["notice"]) == ("failed", "firing", ids([request])[0])
    assert await notifier.stop() == 0
    assert len(ops.received) == await notices(bus) == 1


async def test_it_begins_as_the_page_says(notifier: NotifierProcess) -> None:
    (command,) = pages.blocks("alerts.md", "Alerts")
    environment = {**os.environ, **notifier.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with notifier.log.open("ab") as output:
        started = await asyncio.create_subprocess_shell(
            f"exec env {command}", cwd=pages.DOCS.parent, env=environment, stdout=output, stderr=output
        )
    await until(lambda: "listening to the mesh" in notifier.output(), "a notifier that listens")
    started.terminate()
    assert await started.wait() == 0


async def test_a_notifier_that_is_killed_while_it_counts_tells_once_and_all(
    notifier: NotifierProcess, tasks: Tasks, ops: Receiver, bus: JetStreamBus
) -> None:
    # Of one it tells nothing, however long it lives.
    notifier.rule({**FAILED, "wait": 0, "count": 2}, channels={"ops": f"json://127.0.0.1:{ops.port}"})
    await notifier.start()
    await tasks.fail("t1")
    await notifier.kill()
    await tasks.fail("t2")
    await notifier.start()
    (request,) = await ops.until_received(1)
    assert "(2 times)" in request.json["title"]
    assert await notifier.stop() == 0
    assert await notices(bus) == 1


async def test_a_notifier_that_is_killed_while_it_sends_sends_the_same_again(
    notifier: NotifierProcess, tasks: Tasks, ops: Receiver, bus: JetStreamBus
) -> None:
    notifier.rule({**FAILED, "wait": 0}, channels={"ops": f"json://127.0.0.1:{ops.port}"})
    ops.answers = [None]
    await notifier.start()
    await tasks.fail("t1")
    await ops.until_received(1)
    await notifier.kill()
    await notifier.start()
    received = await ops.until_received(2)
    await until(lambda: bus.last(streams.ALERTS, subjects.delivered(ids(received)[0], "ops")), "a note of it")
    assert len(set(ids(received))) == 1
    assert await notifier.stop() == 0
    await notifier.start()
    await tasks.fail("t2", labels={"x": "y"})
    assert await notifier.stop() == 0
    assert len(ops.received) == 2


async def test_a_callback_survives_a_notifier_that_is_killed_before_and_while_it_is_made(
    notifier: NotifierProcess, tasks: Tasks, ops: Receiver
) -> None:
    notifier.rule(channels={})
    ops.answers = [None]
    await notifier.start()
    await notifier.kill()
    await tasks.fail("t1", callback_url=f"{ops.url}/callback")
    await notifier.start()
    await ops.until_received(1)
    await notifier.kill()
    await notifier.start()
    received = await ops.until_received(2)
    assert len({request.headers["webhook-id"] for request in received}) == 1
    told = [Webhook(SECRET).verify(request.body, request.headers) for request in received]
    assert [each["type"] for each in told] == ["task.failed"] * 2


async def test_a_channel_that_hangs_delays_no_other(notifier: NotifierProcess, tasks: Tasks, ops: Receiver) -> None:
    rule = {**FAILED, "wait": 0, "group_by": ["task"]}
    ways = {name: f"json://127.0.0.1:{ops.port}/{name}" for name in ("one", "two")}
    notifier.rule(rule, channels={"dead": "json://192.0.2.1/", **ways})
    await notifier.start()
    for number in range(3):
        await tasks.fail(f"t{number}")
    received = await ops.until_received(6)
    assert sorted(request.path for request in received) == ["/one"] * 3 + ["/two"] * 3


async def test_the_loss_of_the_bus_is_told_although_nothing_can_be_stored(
    notifier: NotifierProcess, nats: NatsServer, ops: Receiver
) -> None:
    silent = {"name": "silent", "kind": "silent", "roles": ["nats"], "for": "2s", "clear_for": 0}
    notifier.rule(silent, channels={"ops": f"json://127.0.0.1:{ops.port}"})
    await notifier.start()
    await nats.kill()
    await ops.until_received(1)
    await nats.start()
    received = await ops.until_received(2)
    titles = [request.json["title"] for request in received]
    assert titles == ["[CRITICAL] silent", "[OK] over: silent"]
    assert await notifier.stop() == 0
    assert len(set(ids(ops.received))) == len(ops.received) == 2


async def test_a_second_notifier_ends_and_says_why(
    notifier: NotifierProcess, tasks: Tasks, ops: Receiver, nats: NatsServer
) -> None:
    notifier.rule({**FAILED, "wait": 0, "group_by": ["task"]}, channels={"ops": f"json://127.0.0.1:{ops.port}"})
    other = NotifierProcess(notifier.directory, nats.url)
    other.log = notifier.directory / "other.log"
    await notifier.start()
    await other.start()
    try:
        await tasks.fail("t1")
        both = (notifier, other)
        await until(lambda: any("NOTIFIER_SUPERSEDED" in one.output() for one in both), "one of them to end")
        await ops.until_received(1)
    finally:
        await other.kill()
    assert len(set(ids(ops.received))) == 1


async def test_wrong_rules_end_it_at_once_with_every_line(notifier: NotifierProcess) -> None:
    notifier.rules.write_text("version: 1\nrules: [{name: a}, {kind: nothing}]\n")
    assert await notifier.runs_to_its_end() == 78
    assert "line 2: rules[0]" in notifier.output()
    assert "line 2: rules[1]" in notifier.output()
    notifier.rule(channels={"a": "nothing://secret-token", "b": "alsonothing://x"})
    assert await notifier.runs_to_its_end() == 78
    assert "channel a" in notifier.output()
    assert "channel b" in notifier.output()
    assert "secret-token" not in notifier.output()
