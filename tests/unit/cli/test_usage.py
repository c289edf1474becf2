"""What `comfymesh usage` shows and refuses, without a server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from rich.console import Console

from comfymesh.cli.main import cli
from comfymesh.cli.session import Session
from comfymesh.cli.usage import usage_table
from comfymesh.client import UsageDimension, UsageReport, UsageRow


def test_model_files_keep_their_folders_and_workflows_lose_what_all_begin_with() -> None:
    row = UsageRow(workflow="workflows/portrait", models=("sdxl/base.safetensors", "vae/[fp16].safetensors"))
    by = [UsageDimension.WORKFLOW, UsageDimension.MODELS]
    console = Console(width=200, markup=False)
    with console.capture() as captured:
        console.print(usage_table(UsageReport((row,), row, None), by))
    shown = captured.get().splitlines()[1]
    assert shown.split("  ")[0] == "portrait"
    assert "sdxl/base.safetensors + vae/[fp16].safetensors" in shown


@pytest.mark.parametrize(
    ("through", "told"),
    [(None, "does one run?"), (datetime(2026, 1, 1, tzinfo=UTC), "is counted")],
    ids=["nobody has counted", "counted"],
)
def test_no_use_is_told_apart_from_nobody_who_counts(
    through: datetime | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = UsageReport((), UsageRow(), through)
    monkeypatch.setattr(Session, "call", lambda *_: report)
    result = CliRunner().invoke(cli, ["usage"])
    assert result.exit_code == 0
    assert told in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments", [("--until", "0001-01-01"), ("--since", "0s"), ("--since", "1h", "--from", "2026-11-01")]
)
def test_times_that_are_none_are_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["--target", "127.0.0.1:1", "usage", *arguments])
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit), result.output
