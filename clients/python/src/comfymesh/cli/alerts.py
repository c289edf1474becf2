"""Commands for alerts: what is told, what is not to be told, and what becomes of webhooks."""

from __future__ import annotations

import getpass
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from comfymesh.cli.alert_tables import (
    alert_table,
    channel_table,
    notice_table,
    rule_table,
    silence_table,
    webhook_table,
)
from comfymesh.cli.arguments import parse_duration, parse_labels
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.listing import print_list
from comfymesh.cli.options import with_session
from comfymesh.cli.text import one_line, short_name
from comfymesh.client import DeliveryState, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import AlertNotice, AsyncClient, WebhookDelivery


_HELP = """See what the notifier tells, and say what you do not want to hear.

\b
Examples:
  comfymesh alerts list
  comfymesh alerts test ops
  comfymesh alerts silence 2h --rule 'node-*' --label node=gpu-7 --comment "new disk"
"""


def _told(text: str, *examples: str) -> dict[str, str]:
    """What is said of a command: in a line, and with examples, which are without `comfymesh alerts`."""
    shown = "\n".join(f"  comfymesh alerts {example}" for example in examples)
    return {"help": f"{text}\n\n\b\nExamples:\n{shown}\n", "short_help": text}


_SEVERITIES = click.Choice([each.lower() for each in Severity if each is not Severity.UNKNOWN], case_sensitive=False)
_DELIVERY_STATES = click.Choice(["pending", "delivered", "failed"], case_sensitive=False)


@click.group(help=_HELP, short_help="See to alerts.")
def alerts() -> None:  # noqa: D103 - the help text is above
    pass


@alerts.command("list", **_told("List the alerts under way, the worst first.", "list", "list --all --json"))
@click.option("--all", "everything", is_flag=True, help="Also those that have not lasted long enough to be told.")
@with_session
def list_alerts(session: Session, everything: bool) -> None:  # noqa: D103, FBT001
    found = session.call(lambda client: client.alerts(firing_only=not everything))
    print_list(session, found, partial(alert_table, now=datetime.now(UTC)), "No alerts.")


@alerts.command(
    **_told(
        "List what was told, oldest first.", "history --last 7d", 'history --rule "node-*" --severity critical --json'
    )
)
@click.option("--rule", default="", metavar="NAME", help="Only of this rule.")
@click.option("--alert", default="", metavar="ALERT", help="Only of this alert.")
@click.option("--severity", type=_SEVERITIES, help="Only what is at least so bad.")
@click.option("--last", default="1d", show_default=True, metavar="DURATION", help="How far back, such as 30m or 7d.")
@with_session
def history(session: Session, rule: str, alert: str, severity: str | None, last: str) -> None:  # noqa: D103
    after = datetime.now(UTC) - parse_duration(last)
    worst = Severity(severity.upper()) if severity else None

    async def read(client: AsyncClient) -> list[AlertNotice]:
        notices = client.alert_notices(rule=rule, alert=alert, severity=worst, after=after)
        async with aclosing(notices) as found:
            return [notice async for notice in found]

    print_list(session, session.call(read), partial(notice_table, now=datetime.now(UTC)), "Nothing was told.")


@alerts.command(**_told("List the rules that the notifier follows.", "rules"))
@with_session
def rules(session: Session) -> None:  # noqa: D103
    print_list(session, session.call(lambda client: client.alert_setup()).rules, rule_table, "No rules.")


@alerts.command(**_told("List the channels that the notifier tells.", "channels"))
@with_session
def channels(session: Session) -> None:  # noqa: D103
    print_list(session, session.call(lambda client: client.alert_setup()).channels, channel_table, "No channels.")


@alerts.command(**_told("Send a message on a channel, and say what became of it.", "test ops"))
@click.argument("channel")
@with_session
def test(session: Session, channel: str) -> None:  # noqa: D103
    delivery = session.call(lambda client: client.test_alert_channel(channel))
    if session.as_json:
        click.echo(line(plain(delivery)))
    elif delivery.state is DeliveryState.DELIVERED:
        click.echo(f"{channel}: delivered")
    else:
        click.echo(f"{channel}: {delivery.state.lower()}: {one_line(delivery.error)}", err=True)
    if delivery.state is not DeliveryState.DELIVERED:
        raise click.exceptions.Exit(1)


@alerts.command(
    **_told(
        "Say that you see to an alert: it is not told again until it has ended.", "acknowledge node-lost-4f1c --by ann"
    )
)
@click.argument("alert")
@click.option("--by", default=None, metavar="NAME", help="Who sees to it; default: the user's name.")
@with_session
def acknowledge(session: Session, alert: str, by: str | None) -> None:  # noqa: D103
    session.call(lambda client: client.acknowledge_alert(alert, by or _user()))
    if not session.as_json:
        click.echo(f"{short_name(alert)}: acknowledged")


@alerts.command(
    **_told(
        "Let nobody be told of some alerts for DURATION, such as 30m or 2h.",
        'silence 2h --rule "node-*" --label node=gpu-7 --comment "new disk"',
    )
)
@click.argument("duration")
@click.option("--rule", "globs", multiple=True, metavar="GLOB", help="For rules of this name; * stands for anything.")
@click.option("--label", "labels", multiple=True, metavar="KEY=GLOB", help="For alerts that are about this.")
@click.option("--comment", required=True, metavar="TEXT", help="Why.")
@click.option("--by", default=None, metavar="NAME", help="Who wants it; default: the user's name.")
@with_session
def silence(  # noqa: D103
    session: Session, duration: str, globs: Sequence[str], labels: Sequence[str], comment: str, by: str | None
) -> None:
    lasts, about = parse_duration(duration), parse_labels(labels)
    made = session.call(
        lambda client: client.silence_alerts(lasts, comment, rules=globs, labels=about, by=by or _user())
    )
    click.echo(line(plain(made)) if session.as_json else short_name(made.name))


@alerts.command(**_told("List the silences that have not ended.", "silences --json"))
@with_session
def silences(session: Session) -> None:  # noqa: D103
    print_list(
        session,
        session.call(lambda client: client.silences()),
        partial(silence_table, now=datetime.now(UTC)),
        "No silences.",
    )


@alerts.command(**_told("End a silence.", "unsilence 4f1c"))
@click.argument("silence")
@with_session
def unsilence(session: Session, silence: str) -> None:  # noqa: D103
    session.call(lambda client: client.end_silence(silence))
    if not session.as_json:
        click.echo(f"{short_name(silence)}: ended")


@alerts.command(
    **_told(
        "List calls to callback URLs, those that changed longest ago first.",
        "webhooks --state failed",
        "webhooks --task t-4f1c --json",
    )
)
@click.option("--task", default="", metavar="TASK", help="Only of this task.")
@click.option("--state", type=_DELIVERY_STATES, help="Only those that are so far.")
@with_session
def webhooks(session: Session, task: str, state: str | None) -> None:  # noqa: D103
    wanted = DeliveryState(state.upper()) if state else None

    async def read(client: AsyncClient) -> list[WebhookDelivery]:
        async with aclosing(client.webhook_deliveries(task=task, state=wanted)) as found:
            return [delivery async for delivery in found]

    print_list(session, session.call(read), partial(webhook_table, now=datetime.now(UTC)), "No webhooks.")


@alerts.command(**_told("Let a call to a callback URL be tried again from the beginning.", "redeliver 4f1c"))
@click.argument("delivery")
@with_session
def redeliver(session: Session, delivery: str) -> None:  # noqa: D103
    made = session.call(lambda client: client.redeliver_webhook(delivery))
    click.echo(line(plain(made)) if session.as_json else f"{short_name(made.name)}: pending")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
