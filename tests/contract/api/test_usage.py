"""What tenants have used, as they and administrators see it: by gRPC, SDK and command line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner
from google.protobuf.timestamp_pb2 import Timestamp

from comfymesh.bus import usage as ledger
from comfymesh.bus.port import Entry
from comfymesh.bus.streams import USAGE
from comfymesh.cli.main import cli
from comfymesh.client import AsyncClient, UsageDimension, UsageRow
from comfymesh.tasks.ledger import HOUR, Hour, Kind, Sum, begin
from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, Refused
from comfymesh.v1 import usage_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

Query = usage_service_pb2.QueryUsageRequest
METHOD = "UsageService/QueryUsage"
GOOD = Kind("workflows/portrait", ("a.safetensors", "vae.safetensors"), "rtx", "SUCCEEDED")
LOST = Kind("workflows/portrait", ("a.safetensors",), "rtx", "NODE_LOST")
BROKEN = Kind("", ("=cmd()",), "", "NODE_EXCEPTION")


@pytest.fixture(scope="module")
def hour() -> int:
    """That in which the tests begin: the next one may come meanwhile."""
    return begin(time.time())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(api: LocalApi, hour: int) -> dict[str, str]:
    """Two tenants that have used something in this hour and the last."""
    told = {
        ("lab", hour): {GOOD: Sum(2, 1_000_000, 9_000_000), LOST: Sum(1, 0, 4_000_000)},
        ("lab", hour - HOUR): {BROKEN: Sum(1, 0, 500_000)},
        ("studio", hour): {GOOD: Sum(1, 0, 7_000_000)},
    }
    for (tenant, then), sums in told.items():
        await api.bus.append([Entry(ledger.subject(tenant, then), ledger.encode(Hour("log", 9, sums)))])
    return {tenant: await api.tenant(tenant) for tenant in ("lab", "studio")}


async def test_a_tenant_sees_its_own_sums(api: LocalApi, keys: dict[str, str]) -> None:
    answer = await api.call(METHOD, Query(), keys["lab"])
    (row,) = answer.rows
    assert row == answer.total
    assert (row.attempts, row.load_seconds, row.run_seconds) == (4, 1.0, 13.5)
    # A node that was lost is not the tenant's fault; a graph that broke is.
    assert (row.charged_seconds, row.wasted_seconds) == (10.5, 4.5)
    assert not answer.HasField("through_time")


async def test_no_tenant_sees_what_another_or_all_have_used(api: LocalApi, keys: dict[str, str]) -> None:
    for name in ("tenants/studio", "tenants/-", "tenants/nobody"):
        with pytest.raises(Refused) as told:
            await api.call(METHOD, Query(tenant=name), keys["lab"])
        assert (told.value.code, told.value.reason) == ("NOT_FOUND", "TENANT_NOT_FOUND")


async def test_pages_are_as_one(api: LocalApi, keys: dict[str, str]) -> None:
    request = Query(tenant="tenants/-", group_by=[2, 6, 3], page_size=1)
    seen: list[Any] = []
    while True:
        answer = await api.call(METHOD, request)
        seen += answer.rows
        assert answer.total.attempts == 5
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert [(row.tenant, row.workflow, row.outcome) for row in seen] == [
        ("tenants/lab", "", "NODE_EXCEPTION"),
        ("tenants/lab", "workflows/portrait", "NODE_LOST"),
        ("tenants/lab", "workflows/portrait", "SUCCEEDED"),
        ("tenants/studio", "workflows/portrait", "SUCCEEDED"),
    ]


async def test_pages_are_of_what_was_known_at_the_first_and_added_up_once(
    api: LocalApi, keys: dict[str, str], hour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Query(tenant="tenants/-", group_by=[2, 6, 3], page_size=2)
    first = await api.call(METHOD, request)
    added = {Kind("workflows/a-late-one", (), "", "SUCCEEDED"): Sum(1, 0, 1_000_000)}
    await api.bus.append([Entry(ledger.subject("late", hour), ledger.encode(Hour("log", 10, added)))])
    request.page_token = first.next_page_token
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "by_day", None)
        second = await api.call(METHOD, request)
    assert (second.total, second.next_page_token) == (first.total, "")
    # Of what is not kept any more, as by another api, the page is made anew.
    again = await api.call(METHOD, request)
    assert again.total.attempts == first.total.attempts + 1
    await api.bus.purge(USAGE, ledger.subject("late", hour), 1 << 62)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"start_time": Timestamp(seconds=10), "end_time": Timestamp(seconds=10)}, "start_time"),
        ({"start_time": Timestamp(seconds=10)}, "start_time"),
        ({"end_time": Timestamp(seconds=-1)}, "end_time"),
        ({"end_time": Timestamp(seconds=1 << 50)}, "end_time"),
        ({"group_by": [0]}, "group_by"),
        ({"group_by": [99]}, "group_by"),
        ({"page_size": -1}, "page_size"),
    ],
)
async def test_what_is_wrong_is_named(api: LocalApi, keys: dict[str, str], wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as told:
        await api.call(METHOD, Query(**wrong), keys["lab"])
    assert [violation.field for violation in told.value.details["BadRequest"].field_violations] == [field]


async def test_the_sdk_reads_hours(api: LocalApi, keys: dict[str, str], hour: int) -> None:
    now = datetime.fromtimestamp(hour, UTC)
    by = [UsageDimension.HOUR, UsageDimension.MODELS]
    async with AsyncClient(api.target, api_key=keys["lab"]) as client:
        report = await client.usage(start=now, group_by=by)
        earlier = await client.usage(start=now - timedelta(hours=1), end=now, group_by=by)
    assert report.rows[1] == UsageRow(
        hour=now,
        models=("a.safetensors", "vae.safetensors"),
        attempts=2,
        load_seconds=1.0,
        run_seconds=9.0,
        charged_seconds=10.0,
    )
    assert report.total.gpu_seconds == 14.0
    assert [row.hour for row in earlier.rows] == [now - timedelta(hours=1)]


async def shown(api: LocalApi, *arguments: str) -> str:
    """What the command line prints for an administrator."""
    environment = {"COMFYMESH_API_KEY": BOOTSTRAP}
    line = ["--target", api.target, "usage", *arguments]
    result = await asyncio.to_thread(CliRunner().invoke, cli, line, env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_the_command_line_prints_tables_csv_and_json(api: LocalApi, keys: dict[str, str]) -> None:
    table = await shown(api, "-", "--by", "tenant", "--by", "workflow")
    assert "portrait" in table
    assert table.splitlines()[-1].split()[:2] == ["all", "5"]
    rows = list(csv.DictReader(io.StringIO(await shown(api, "lab", "--by", "models", "--by", "outcome", "--csv"))))
    assert sum(float(row["load_seconds"]) + float(row["run_seconds"]) for row in rows) == 14.5
    assert rows[0]["models"] == "'=cmd()"  # No spreadsheet takes it for a formula.
    lines = [json.loads(line) for line in (await shown(api, "lab", "--by", "outcome", "--json")).splitlines()]
    assert {line["outcome"]: line["wasted_seconds"] for line in lines} == {
        "NODE_EXCEPTION": 0.5,
        "NODE_LOST": 4.0,
        "SUCCEEDED": 0.0,
    }
