"""AlertService: what the notifier has said, what people say, and every refusal with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from comfymesh.api.alerting import Alerting
from comfymesh.api.errors import RefusedError
from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.testkit.apis import LocalApi, Refused, find, request_type
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW
from comfymesh.v1 import alert_pb2
from comfymesh.wire.v1 import alerting_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALERT = "alerts/0123456789abcdef"
DELIVERY = "webhookDeliveries/00000000-0000-4000-8000-000000000001"


async def call(api: LocalApi, method: str, fields: dict[str, Any]) -> Any:
    return await api.call(f"AlertService/{method}", request_type(find(f"AlertService/{method}"))(**fields))


async def say(api: LocalApi, subject: str, message: Any) -> None:
    await api.bus.append([Entry(subject, message.SerializeToString())])


async def refused(api: LocalApi, method: str, fields: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as error:
        await call(api, method, fields)
    return error.value


def fields_of(error: Refused) -> list[str]:
    return [violation.field for violation in error.details["BadRequest"].field_violations]


def in_an_hour(**more: Any) -> dict[str, Any]:
    silence = alert_pb2.Silence(comment="why", **more)
    silence.end_time.GetCurrentTime()
    silence.end_time.seconds += 3600
    return {"silence": silence}


async def test_where_no_notifier_has_ever_run_there_is_nothing(api: LocalApi) -> None:
    assert not (await call(api, "ListAlertRules", {})).rules
    answer = await call(api, "ListAlerts", {})
    assert (len(answer.alerts), answer.HasField("update_time")) == (0, False)
    assert not (await call(api, "ListAlertNotices", {})).notices
    assert not (await call(api, "ListWebhookDeliveries", {})).deliveries


async def test_alerts_come_the_worst_first(api: LocalApi) -> None:
    made = [
        alert_pb2.Alert(name=f"alerts/{number:016x}", severity=severity, state=state)
        for number, (severity, state) in enumerate([(1, 2), (4, 2), (3, 1)])
    ]
    await say(api, subjects.ACTIVE_ALERTS, alerting_pb2.ActiveAlerts(alerts=made))
    assert [alert.severity for alert in (await call(api, "ListAlerts", {})).alerts] == [4, 3, 1]
    assert [alert.severity for alert in (await call(api, "ListAlerts", {"firing_only": True})).alerts] == [4, 1]
    await call(api, "AcknowledgeAlert", {"name": made[0].name, "acknowledged_by": "anna"})
    (told,) = api.bus.stored(subjects.acknowledgement(made[0].name.partition("/")[2]))
    assert alerting_pb2.Acknowledgement.FromString(told.data).acknowledged_by == "anna"


async def test_the_history_is_read_page_by_page_and_chosen_from(api: LocalApi) -> None:
    for number in range(7):
        alert = alert_pb2.Alert(name=ALERT, rule="even" if number % 2 == 0 else "odd")
        notice = alert_pb2.AlertNotice(
            name=f"alertNotices/n-{number}", alert=alert, severity=1 + number % 4, channels=["ops"]
        )
        await say(api, subjects.notice(f"n-{number}"), notice)
    await say(api, subjects.delivered("n-0", "ops"), alert_pb2.ChannelDelivery(channel="ops", state=1))
    names, token = list[str](), ""
    while True:
        page = await call(api, "ListAlertNotices", {"rule": "even", "page_size": 2, "page_token": token})
        names += [notice.name for notice in page.notices]
        if not (token := page.next_page_token):
            break
    assert names == [f"alertNotices/n-{number}" for number in (0, 2, 4, 6)]
    first = (await call(api, "ListAlertNotices", {"page_size": 1})).notices[0]
    assert [delivery.channel for delivery in first.deliveries] == ["ops"]
    worst = (await call(api, "ListAlertNotices", {"severity": 4})).notices
    assert [notice.name for notice in worst] == ["alertNotices/n-3"]
    page = await call(api, "ListAlertNotices", {"rule": "even", "page_size": 2})
    error = await refused(api, "ListAlertNotices", {"rule": "odd", "page_token": page.next_page_token})
    assert error.reason == "PAGE_TOKEN_INVALID"


async def test_silences_are_made_listed_and_ended(api: LocalApi) -> None:
    made = (await call(api, "CreateSilence", in_an_hour(rules=["node-*"]))).silence
    assert made.HasField("start_time")
    assert [silence.name for silence in (await call(api, "ListSilences", {})).silences] == [made.name]
    await call(api, "DeleteSilence", {"name": made.name})
    assert not (await call(api, "ListSilences", {})).silences
    assert (await refused(api, "DeleteSilence", {"name": made.name})).reason == "SILENCE_NOT_FOUND"


async def test_a_delivery_begins_anew(api: LocalApi) -> None:
    delivery = alert_pb2.WebhookDelivery(name=DELIVERY, task="tasks/one", state=3, attempt_count=8)
    delivery.end_time.FromSeconds(1)
    subject = subjects.webhook("default", DELIVERY.partition("/")[2])
    await say(api, subject, alerting_pb2.Webhook(delivery=delivery, tenant="default", payload=b"body"))
    again = (await call(api, "RedeliverWebhook", {"name": DELIVERY})).delivery
    assert (again.state, again.attempt_count, again.HasField("end_time")) == (1, 0, False)
    assert alerting_pb2.Webhook.FromString(api.bus.stored(subject)[-1].data).payload == b"body"
    assert len((await call(api, "ListWebhookDeliveries", {"task": "tasks/one", "state": 1})).deliveries) == 1
    assert not (await call(api, "ListWebhookDeliveries", {"state": 3})).deliveries


@pytest.mark.parametrize(
    ("method", "fields", "reason"),
    [
        ("AcknowledgeAlert", {"name": "alerts/ffffffffffffffff", "acknowledged_by": "a"}, "ALERT_NOT_FOUND"),
        ("DeleteSilence", {"name": "silences/000000000000"}, "SILENCE_NOT_FOUND"),
        ("TestAlertChannel", {"channel": "nobody"}, "ALERT_CHANNEL_NOT_FOUND"),
        ("RedeliverWebhook", {"name": f"webhookDeliveries/{'0' * 36}"}, "WEBHOOK_DELIVERY_NOT_FOUND"),
    ],
)
async def test_what_is_not_there_is_told(api: LocalApi, method: str, fields: dict[str, Any], reason: str) -> None:
    error = await refused(api, method, fields)
    assert (error.code, error.reason) == ("NOT_FOUND", reason)
    assert error.details["ResourceInfo"].resource_name


@pytest.mark.parametrize(
    ("method", "fields", "wrong"),
    [
        ("AcknowledgeAlert", {"name": "alerts/x"}, ["name", "acknowledged_by"]),
        ("ListAlertNotices", {"page_size": -1, "alert": "x"}, ["page_size", "alert"]),
        ("CreateSilence", {}, ["silence.comment", "silence.end_time"]),
        ("CreateSilence", {"silence": {"comment": "x", "end_time": {"seconds": 1}}}, ["silence.end_time"]),
        ("CreateSilence", {"silence": {"comment": "x", "end_time": {"seconds": 1 << 33}}}, ["silence.end_time"]),
        ("CreateSilence", in_an_hour(rules=["x" * 300] + ["y"] * 64), ["silence.rules", "silence"]),
        ("CreateSilence", in_an_hour(created_by="x" * 200), ["silence.created_by"]),
        ("DeleteSilence", {"name": "silences/../x"}, ["name"]),
        ("TestAlertChannel", {"channel": "a.>"}, ["channel"]),
        ("ListWebhookDeliveries", {"task": "tasks/*", "page_size": -1}, ["page_size", "task"]),
        ("RedeliverWebhook", {"name": "webhookDeliveries/>"}, ["name"]),
    ],
)
async def test_what_is_wrong_is_told_all_at_once(
    api: LocalApi, method: str, fields: dict[str, Any], wrong: list[str]
) -> None:
    error = await refused(api, method, fields)
    assert (error.reason, fields_of(error)) == ("INPUT_INVALID", wrong)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"callback_url": "ftp://example.org"}, ["task.callback_url"]),
        ({"callback_url": "https://user:secret@example.org"}, ["task.callback_url"]),
        ({"callback_states": [5]}, ["task.callback_states"]),
        (
            {"callback_url": "https://example.org", "callback_states": [5, 5, 99]},
            ["task.callback_states[1]", "task.callback_states[2]"],
        ),
        # As many as fit a message would otherwise be compared each with each.
        ({"callback_url": "https://example.org", "callback_states": [5] * 2_000_000}, ["task.callback_states"]),
    ],
)
async def test_a_callback_that_can_not_be_is_refused(api: LocalApi, fields: dict[str, Any], wrong: list[str]) -> None:
    request = request_type(find("TaskService/CreateTask"))(task={"graph_json": "{}", **fields})
    with pytest.raises(Refused) as error:
        await api.call("TaskService/CreateTask", request)
    assert fields_of(error.value) == wrong
    assert "secret" not in str(error.value)


async def test_a_notifier_that_says_nothing_is_missed() -> None:
    bus = MemoryBus()
    setup = alerting_pb2.AlertingSetup(channels=[alert_pb2.AlertChannel(name="ops")])
    await bus.append([Entry(subjects.ALERTING_SETUP, setup.SerializeToString())])
    with pytest.raises(RefusedError) as error:
        await Alerting(bus, lambda: NOW, test_seconds=0.01).test("ops")
    assert (error.value.reason, error.value.metadata) == ("NOTIFIER_SILENT", {"waited_seconds": "0.01"})
