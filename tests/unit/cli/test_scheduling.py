"""What the command line reads and shows of scheduling."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table

from comfymesh.cli import scheduling
from comfymesh.cli.main import cli
from comfymesh.cli.options import read_options
from comfymesh.cli.scheduling_tables import policy_details, queue_table, scheduling_details
from comfymesh.client import Estimate, Placement, Policy, Queue, QueueShare, Task, TaskState, Timing, Waiting

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = Policy({"affinity": True}, {"acme": {"weight": 2.0, "max_running": 5}}, "3")
SOON = Estimate(timedelta(seconds=90), timedelta(seconds=10))


def shown(table: Table) -> str:
    stream = io.StringIO()
    Console(file=stream, width=160).print(table)
    return stream.getvalue()


def options(tmp_path: Path, **given: Any) -> dict[str, Any]:
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps({"1": {"class_type": "X", "inputs": {}}}))
    names = (
        "name",
        "group",
        "priority",
        "execution_timeout",
        "start_timeout",
        "max_retries",
        "task_id",
        "callback_url",
    )
    wishes = {"node_labels": (), "gpu_class": None, "min_vram": None, "pool": None}
    rest = {
        "graph": str(graph),
        "sets": (),
        "files": (),
        "labels": (),
        "allow_partial_outputs": False,
        "callback_states": (),
    }
    return dict.fromkeys(names) | wishes | rest | given


def test_wishes_become_a_placement(tmp_path: Path) -> None:
    wishes = options(tmp_path, node_labels=("zone=eu",), gpu_class="nvidia-l40s", min_vram=1.5, pool="video")
    assert read_options(wishes)["placement"] == Placement({"zone": "eu"}, "nvidia-l40s", 3 * 2**29, "video")
    assert "placement" not in read_options(options(tmp_path))


@pytest.mark.parametrize("text", ["nan", "-1", "inf", "much"])
def test_memory_that_is_no_amount_is_wrong_usage(tmp_path: Path, text: str) -> None:
    graph = tmp_path / "graph.json"
    graph.write_text("{}")
    result = CliRunner().invoke(cli, ["submit", str(graph), "--min-vram", text])
    assert result.exit_code == 2
    assert "--min-vram" in result.output


def test_settings_of_tenants_are_completed_by_what_is_known() -> None:
    wanted = {"tenants.acme.weight": 3.0, "tenants.new.max_running": 1, "tenants.old": None}
    assert scheduling._tenants(KNOWN, wanted) == {
        "acme": {"weight": 3.0, "max_running": 5},
        "new": {"max_running": 1},
        "old": None,
    }
    assert scheduling._tenants(KNOWN, {"tenants.acme.weight": None}) == {"acme": {"max_running": 5}}


@pytest.mark.parametrize("text", ["affinity", "=1", "affinity=maybe", "affinity=NaN", "affinity=1e999"])
def test_a_setting_without_a_name_or_a_value_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.UsageError):
        scheduling._pair(text)


def test_a_tenant_has_no_value_of_its_own() -> None:
    with pytest.raises(click.UsageError, match="name one of its settings"):
        scheduling._tenants(KNOWN, {"tenants.acme": 3.0})


def test_the_policy_shows_each_setting_and_each_tenant() -> None:
    text = shown(policy_details(KNOWN, NOW))
    assert "affinity" in text
    assert "true" in text
    assert "weight 2, max_running 5" in text


def test_the_queue_shows_each_part_and_when_its_next_task_begins() -> None:
    share = QueueShare(3, 1, NOW - timedelta(minutes=5), SOON)
    text = shown(
        queue_table(Queue(share, {"acme": share}, {-5: QueueShare()}, ((("a", "b"), share), ((), share))), NOW)
    )
    for part in ("all", "tenant acme", "priority -5", "a + b", "no models", "1 min 30 s +- 10 s"):
        assert part in text


def test_a_task_tells_why_it_waits_where_it_may_run_and_where_its_time_went() -> None:
    waiting = Waiting("busy\x1b[2J", 2, {"busy": 2}, "nodes/a", "x", SOON, SOON)
    timing = Timing(timedelta(seconds=30), timedelta(seconds=4))
    wish = Placement({"zone": "eu"}, "nvidia-l40s", 2**30, "video")
    task = Task("tasks/t", TaskState.QUEUED, waiting=waiting, timing=timing, placement=wish)
    told = dict(scheduling_details(task))
    assert "\x1b" not in told["waiting"]
    assert told["begins in"] == "1 min 30 s +- 10 s"
    assert told["likely on"] == "a/x"
    assert "30" in told["of that"]
    assert told["only on"].startswith("zone=eu, GPU class nvidia-l40s, at least ")
    assert dict(scheduling_details(Task("tasks/t", TaskState.QUEUED))) == {}
