"""A mesh with a notifier: a failing task becomes a message, a callback is called, and people have their say."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path
from shutil import which

import pytest
import pytest_asyncio
import yaml
from click.testing import CliRunner
from click.testing import Result as CalledAs
from standardwebhooks import Webhook

from comfymesh.cli.main import cli
from comfymesh.client import (
    Alert,
    AlertState,
    DeliveryState,
    NotFound,
    NoticeKind,
    Severity,
    UsageDimension,
    UsageReport,
)
from comfymesh.testkit import graphs, pages
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh
from comfymesh.testkit.receivers import Receiver, receiver
from comfymesh.testkit.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ops() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, ops: Receiver) -> AsyncIterator[LocalMesh]:
    directory = tmp_path_factory.mktemp("mesh")
    rules = {
        "version": 1,
        "channels": [
            {"name": "ops", "url": f"json://127.0.0.1:{ops.port}/alerts"},
            {"name": "broken", "env": "BROKEN_CHANNEL", "severity": "critical"},
        ],
        "rules": [
            {"name": "failed", "kind": "task_failed", "wait": 0, "group_by": ["task"], "tenants": ["default"]},
            {"name": "down", "kind": "silent", "roles": ["api", "scheduler"], "for": "10s", "clear_for": 0},
        ],
    }
    (directory / "rules.yaml").write_text(yaml.safe_dump(rules))
    environment = {
        "COMFYMESH_NOTIFIER_RULES": str(directory / "rules.yaml"),
        "COMFYMESH_NOTIFIER_WEBHOOK_SECRETS": SECRET,
        "COMFYMESH_EGRESS_ALLOW": "127.0.0.0/8",
        "BROKEN_CHANNEL": f"json://secret-user:secret-password@127.0.0.1:{ops.port}/refuses",
    }
    async with local_mesh(directory, environment=environment, notifier=True) as up:
        await until(lambda: "listening to the mesh" in up.log("notifier"), "a notifier that listens")
        yield up


@pytest.fixture(autouse=True)
def nothing_received(ops: Receiver) -> None:
    ops.received.clear()
    ops.answers.clear()
    ops.answer = 200


async def comfymesh(mesh: LocalMesh, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comfymesh.cli", *arguments),
        env={**os.environ, "COMFYMESH_TARGET": mesh.target},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


async def test_a_task_that_fails_is_told_listed_and_acknowledged(mesh: LocalMesh, ops: Receiver) -> None:
    task = await mesh.finished((await mesh.create(graphs.raising("runtime"))).name)
    assert task.state == State.STATE_FAILED
    (request,) = await ops.until_received(1)
    assert task.name.partition("/")[2] in request.json["message"]
    assert "class: NODE_EXCEPTION" in request.json["message"]
    (alert,) = await until(mesh.client.alerts, "an alert")
    assert (alert.rule, alert.state, alert.severity, alert.count) == ("failed", AlertState.FIRING, Severity.ERROR, 1)
    await mesh.client.acknowledge_alert(alert.name, "anna")

    async def seen_to() -> bool:
        return [each.acknowledged_by for each in await mesh.client.alerts()] == ["anna"]

    await until(seen_to, "an acknowledgement")
    (notice,) = [n async for n in mesh.client.alert_notices(rule="failed", alert=alert.name, page_size=1)]
    assert (notice.kind, notice.new_count, notice.channels) == (NoticeKind.FIRING, 1, ("ops",))
    code, out, _ = await comfymesh(mesh, "alerts", "history", "--json", "--rule", "failed")
    assert (code, json.loads(out.splitlines()[0])["name"]) == (0, notice.name)


async def failing(mesh: LocalMesh, *, told: bool) -> Alert:
    """The alert of a task that fails once the notifier has read of a silence, or of its end."""

    async def one() -> Alert | None:
        task = await mesh.finished((await mesh.create(graphs.raising("runtime"))).name)
        alert = await until(lambda: alert_of(mesh, task.name), "an alert")
        return alert if (alert.last_notice_time is not None) is told else None

    return await until(one, f"an alert that {'somebody' if told else 'nobody'} is told")


async def alert_of(mesh: LocalMesh, task: str) -> Alert | None:
    task_id = task.partition("/")[2]
    return next((alert for alert in await mesh.client.alerts() if alert.labels.get("task") == task_id), None)


async def test_what_is_silenced_is_not_told(mesh: LocalMesh, ops: Receiver) -> None:
    silence = await mesh.client.silence_alerts(timedelta(hours=1), "a test", rules=["fail*"], by="anna")
    assert [each.name for each in await mesh.client.silences()] == [silence.name]
    quiet = await failing(mesh, told=False)
    await mesh.client.end_silence(silence.name)
    with pytest.raises(NotFound):
        await mesh.client.end_silence(silence.name)
    assert await mesh.client.silences() == []
    loud = await failing(mesh, told=True)

    def heard_of(alert: Alert) -> bool:
        return any(alert.labels["task"] in request.json["message"] for request in ops.received)

    await until(lambda: heard_of(loud), "what is told after the silence")
    assert not heard_of(quiet)


async def test_a_channel_can_be_tried(mesh: LocalMesh, ops: Receiver) -> None:
    code, out, _ = await comfymesh(mesh, "alerts", "test", "ops")
    assert (code, out) == (0, "ops: delivered\n")
    assert "ComfyMesh" in ops.received[0].json["title"]
    ops.answer = 500
    delivery = await mesh.client.test_alert_channel("broken")
    assert (delivery.state, delivery.attempt_count) == (DeliveryState.FAILED, 1)
    with pytest.raises(NotFound):
        await mesh.client.test_alert_channel("nobody")


async def test_rules_and_channels_are_shown_without_secrets(mesh: LocalMesh) -> None:
    setup = await mesh.client.alert_setup()
    assert [(rule.name, rule.kind) for rule in setup.rules] == [("failed", "task_failed"), ("down", "silent")]
    assert [channel.name for channel in setup.channels] == ["ops", "broken"]
    code, out, _ = await comfymesh(mesh, "alerts", "channels")
    assert code == 0
    assert "secret-" not in out
    assert "secret-" not in mesh.log("notifier")


async def test_a_callback_is_called_signed_and_can_be_called_again(mesh: LocalMesh, ops: Receiver) -> None:
    ops.answers = [503]
    url = f"{ops.url}/callback?token=1"
    done = await mesh.client.run(json.dumps(graphs.picture()), callback_url=url)
    received = await ops.until_received(2)
    assert [request.path for request in received] == ["/callback"] * 2
    assert len({request.headers["webhook-id"] for request in received}) == 1
    told = Webhook(SECRET).verify(received[1].body, received[1].headers)
    assert (told["type"], told["data"]["task"]["name"]) == ("task.succeeded", done.task.name)
    assert "callback_url" not in told["data"]["task"]

    async def delivered() -> bool:
        deliveries = [each async for each in mesh.client.webhook_deliveries(task=done.task)]
        return [each.state for each in deliveries] == [DeliveryState.DELIVERED]

    await until(delivered, "a delivery")
    again = await mesh.client.redeliver_webhook(received[0].headers["webhook-id"])
    assert (again.state, again.attempt_count) == (DeliveryState.PENDING, 0)
    third = (await ops.until_received(3))[2]
    assert third.headers["webhook-id"] == received[0].headers["webhook-id"]


def called(mesh: LocalMesh, command: str, **values: str) -> Awaitable[CalledAs]:
    """Run a command of the docs, with what a reader puts in; a process of its own would take longer than it does."""
    words = ["--target", mesh.target, *pages.arguments(command, **values)]
    return asyncio.to_thread(CliRunner().invoke, cli, words)


async def test_the_commands_of_the_page_on_alerts_do_what_they_say(mesh: LocalMesh, ops: Receiver) -> None:
    await mesh.finished((await mesh.create(graphs.raising("runtime"))).name)
    await ops.until_received(1)
    alert = (await until(mesh.client.alerts, "an alert"))[0].name
    said = dict[str, str]()
    for command in pages.commands("alerts.md", "Having your say"):
        silence = "".join(silence.name for silence in await mesh.client.silences())
        ran = await called(mesh, command, ALERT=alert.partition("/")[2], SILENCE=silence.partition("/")[2])
        assert ran.exit_code == 0, (command, ran.output)
        said[command.split()[2]] = ran.output
    assert "deliberate failure" in said["list"]
    assert "new disk" in said["silences"]
    assert await mesh.client.silences() == []
    assert "broken" in said["channels"]
    assert "failed" in said["history"]
    assert "failed" in said["rules"]


async def test_the_command_of_the_page_on_webhooks_has_a_receiver_called(
    mesh: LocalMesh, ops: Receiver, tmp_path: Path
) -> None:
    (command,) = pages.commands("webhooks.md", "Webhooks")
    graph = tmp_path / "graph.json"
    graph.write_text(graphs.text(graphs.picture()))
    url = "https://shop.example/hooks/pictures"
    ran = await called(mesh, command, **{"graph.json": str(graph), url: f"{ops.url}/hooks/pictures"})
    assert ran.exit_code == 0, ran.output
    (request,) = await ops.until_received(1)
    assert (request.path, request.json["type"]) == ("/hooks/pictures", "task.succeeded")


@pytest.mark.skipif(not which("jq") and "CI" not in os.environ, reason="needs jq: apt-get install jq")
async def test_the_logs_are_asked_as_the_page_says(mesh: LocalMesh, ops: Receiver) -> None:
    task = await mesh.finished((await mesh.create(graphs.raising("runtime"))).name)
    await ops.until_received(1)
    # The agent writes a line behind the record.
    await until(lambda: task.name.partition("/")[2] in mesh.log("agent"), "the agent's word on it")
    of_task, unusual = pages.commands("operations.md", "When something is wrong")
    of_this = await printed(of_task.replace('"TASK"', f'"{task.name.partition("/")[2]}"'), mesh.directory / "logs")
    assert "NODE_EXCEPTION" in of_this
    levels = re.findall(r'^  "level": "(.*)",$', await printed(unusual, mesh.directory / "logs"), re.MULTILINE)
    assert set(levels) <= {"warning", "error", "critical"}


async def printed(command: str, folder: Path) -> str:
    """What a command prints that ends well."""
    process = await asyncio.create_subprocess_shell(command, cwd=folder, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_a_callback_into_the_network_is_given_up(mesh: LocalMesh, ops: Receiver) -> None:
    done = await mesh.client.run(json.dumps(graphs.picture()), callback_url="http://169.254.169.254/latest")

    async def given_up() -> list[str]:
        deliveries = mesh.client.webhook_deliveries(task=done.task, state=DeliveryState.FAILED)
        return [each.last_error async for each in deliveries]

    (error,) = await until(given_up, "a delivery that was given up")
    assert "not a public address" in error


async def test_a_scheduler_that_is_away_is_missed_and_its_return_is_told(mesh: LocalMesh, ops: Receiver) -> None:
    def titles() -> list[str]:
        return [request.json["title"] for request in ops.received if request.path == "/alerts"]

    await mesh.hold("scheduler")
    await until(lambda: titles() == ["[CRITICAL] down"], "an alert")
    assert "role: scheduler" in ops.received[0].json["message"]
    await mesh.release("scheduler")
    await until(lambda: titles() == ["[CRITICAL] down", "[OK] over: down"], "its end")


async def test_the_ledger_has_what_the_slots_were_busy(mesh: LocalMesh) -> None:
    slow = await mesh.create(graphs.steps(2000, 0.05))
    await mesh.until_state(slow.name, State.STATE_RUNNING)
    await mesh.client.cancel(slow.name)
    await mesh.finished(slow.name)
    tasks = [task async for task in mesh.client.list() if task.attempt]
    took = sum((task.timing.load + task.timing.run).total_seconds() for task in tasks if task.timing)

    async def complete() -> UsageReport | None:
        report = await mesh.client.usage(group_by=[UsageDimension.OUTCOME])
        return report if report.total.attempts == len(tasks) else None

    report = await until(complete, "the ledger")
    assert report.total.gpu_seconds == pytest.approx(took, abs=1e-6 * len(tasks))
    assert {row.outcome for row in report.rows} >= {"SUCCEEDED", "CANCELLED", "NODE_EXCEPTION"}
    wasted = sum(row.gpu_seconds for row in report.rows if row.outcome != "SUCCEEDED")
    assert report.total.wasted_seconds == pytest.approx(wasted, abs=1e-6)
    # The attempt that was thrown away is in it, with the time that it had its instance for.
    (cancelled,) = [row for row in report.rows if row.outcome == "CANCELLED"]
    assert cancelled.gpu_seconds > 0
    (shown,) = re.findall(r"`(comfymesh usage - .*) > usage.csv`", (pages.DOCS / "usage.md").read_text())
    said = await called(mesh, shown)
    assert said.exit_code == 0, said.output
    rows = csv.DictReader(said.output.splitlines())
    assert sum(float(row["load_seconds"]) + float(row["run_seconds"]) for row in rows) == pytest.approx(took, abs=1e-3)
