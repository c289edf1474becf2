"""Shows what tenants have used."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from comfymesh.cli.arguments import parse_duration
from comfymesh.cli.columns import PlainTable
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.options import with_session
from comfymesh.cli.text import duration, one_line, short_name
from comfymesh.client import UsageDimension, UsageRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import UsageReport

_HELP = """Show the GPU-seconds that a tenant has used, by default your own in the last day.

Name a TENANT, or - for all, as an administrator. Whole hours (UTC) are counted.

\b
Examples:
  comfymesh usage
  comfymesh usage --by workflow --by outcome --since 7d
  comfymesh usage - --by tenant --by hour --csv > usage.csv
  comfymesh usage lab --from 2026-11-01 --until 2026-12-01 --by models --json
"""

_NUMBERS = ("attempts", "load_seconds", "run_seconds", "charged_seconds", "wasted_seconds")
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
_BY = click.Choice([each.lower().replace("_", "-") for each in UsageDimension])


@click.command(help=_HELP, short_help="Show the GPU-seconds that a tenant has used.")
@click.argument("tenant", default="")
@click.option("--since", metavar="DURATION", help="How far back, such as 12h or 30d; default: 24h.")
@click.option("--from", "start", type=_MOMENT, metavar="TIME", help="The first hour, such as 2026-11-01, in UTC.")
@click.option("--until", "end", type=_MOMENT, metavar="TIME", help="The end, in UTC; default: now.")
@click.option("--by", "dimensions", type=_BY, multiple=True, help="Tell this apart.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a heading.")
@with_session
def usage(  # noqa: D103
    session: Session,
    /,
    *,
    tenant: str,
    since: str | None,
    start: datetime | None,
    end: datetime | None,
    dimensions: Sequence[str],
    as_csv: bool,
) -> None:
    if since and start:
        raise click.UsageError("--since and --from both say where it begins; give one of them.")
    if as_csv and session.as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    end = end.replace(tzinfo=UTC) if end else datetime.now(UTC)
    begin = start.replace(tzinfo=UTC) if start else _before(end, since or "24h")
    by = [UsageDimension(each.upper().replace("-", "_")) for each in dict.fromkeys(dimensions)]
    report = session.call(lambda client: client.usage(tenant, start=begin, end=end, group_by=by))
    if session.as_json:
        for row in report.rows:
            click.echo(line(plain(row)))
    elif as_csv:
        click.echo(usage_csv(report, by), nl=False)
    elif report.rows:
        session.show(usage_table(report, by))
    else:
        click.echo(_nothing(report), err=True)


def _before(end: datetime, since: str) -> datetime:
    try:
        return end - parse_duration(since)
    except OverflowError:
        raise click.UsageError(f"{since} before {end:%Y-%m-%d} is before the year 1.") from None


def _nothing(report: UsageReport) -> str:
    if report.through_time is None:
        return "Nothing was ever counted. The notifier counts what tasks have used: does one run?"
    return (
        f"No attempts in that time; what ended until {report.through_time.astimezone():%Y-%m-%d %H:%M:%S} is counted."
    )


def usage_csv(report: UsageReport, by: Sequence[UsageDimension]) -> str:
    """The rows as CSV. Texts that a spreadsheet would take for a formula are marked as texts."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(each.lower() for each in by), *_NUMBERS])
    for row in report.rows:
        writer.writerow([*(_as_text(_value(row, each)) for each in by), *(getattr(row, name) for name in _NUMBERS)])
    return text.getvalue()


def usage_table(report: UsageReport, by: Sequence[UsageDimension]) -> PlainTable:
    """The rows, a line each, and their sum."""
    headings = (each.replace("_", " ") for each in by)
    table = PlainTable(*headings, "ATTEMPTS", "GPU TIME", "LOADING", "CHARGED", "WASTED")
    for row in report.rows:
        table.add_row(*(_shown(row, each) or "-" for each in by), *_numbers(row))
    if by:
        table.add_row(*("all" if not index else "" for index in range(len(by))), *_numbers(report.total))
    return table


def _numbers(row: UsageRow) -> tuple[str, ...]:
    times = (row.gpu_seconds, row.load_seconds, row.charged_seconds, row.wasted_seconds)
    return (str(row.attempts), *map(duration, times))


def _shown(row: UsageRow, dimension: UsageDimension) -> str:
    """Names without what all of them begin with. Model files lie in folders, which tell them apart."""
    value = _value(row, dimension)
    return one_line(value) if dimension is UsageDimension.MODELS else short_name(value)


def _value(row: UsageRow, dimension: UsageDimension) -> str:
    if dimension is UsageDimension.HOUR:
        return row.hour.strftime("%Y-%m-%dT%H:%MZ") if row.hour else ""
    found = getattr(row, dimension.lower())
    return " + ".join(found) if isinstance(found, tuple) else str(found)


def _as_text(value: str) -> str:
    return (
        f"'{value}" if value.startswith(("=", "+", "@", "\t", "\r")) or (value[:1] == "-" and value != "-") else value
    )
