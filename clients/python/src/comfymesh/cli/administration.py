"""Commands for tenants: quota show and set, tenants list, create, enable and disable, audit."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from comfymesh.cli.administration_tables import audit_table, tenant_details, tenant_table
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.listing import print_list
from comfymesh.cli.options import with_session
from comfymesh.client import Limits, TenantOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, AuditEvent, Tenant

_QUOTA_HELP = """Show what a tenant may use and uses, or, for administrators, change it.

\b
Examples:
  comfymesh quota show
  comfymesh quota show lab
  comfymesh quota set lab max_waiting_tasks=500 requests_per_second=20
"""

_SHOW_HELP = """Show what a tenant may use, and what it uses; by default your own.

\b
Examples:
  comfymesh quota show
  comfymesh quota show lab --json
"""

_SET_HELP = f"""Change what a tenant may use. 0 takes a limit away; lists are given anew as a whole.

\b
Limits:
  {"  ".join(each.name for each in fields(Limits)[:3])}
  {"  ".join(each.name for each in fields(Limits)[3:])}

\b
Examples:
  comfymesh quota set lab max_waiting_tasks=500 gpu_seconds_per_day=36000
  comfymesh quota set lab --allow-class "KSampler*" --allow-class "Load*" --allow-model "sdxl/*"
  comfymesh quota set lab --allow-any-class
"""

_TENANTS_HELP = """Make and see tenants. For administrators.

\b
Examples:
  comfymesh tenants create lab --name "The lab"
  comfymesh tenants list
  comfymesh tenants disable lab
"""

_CREATE_HELP = """Make a tenant.

\b
Examples:
  comfymesh tenants create lab --name "The lab"
"""

_LIST_HELP = """List tenants.

\b
Examples:
  comfymesh tenants list
  comfymesh tenants list --json
"""

_DISABLE_HELP = """Refuse all calls of a tenant. Its tasks go on.

\b
Examples:
  comfymesh tenants disable lab
"""

_ENABLE_HELP = """Take calls of a tenant again.

\b
Examples:
  comfymesh tenants enable lab
"""

_AUDIT_HELP = """Show what operators and administrators did, oldest first.

\b
Examples:
  comfymesh audit
  comfymesh audit --json
"""


@click.group(help=_QUOTA_HELP, short_help="Show or change what a tenant may use.")
def quota() -> None:  # noqa: D103
    pass


@quota.command("show", help=_SHOW_HELP, short_help="Show it.")
@click.argument("tenant", default="")
@with_session
def show_quota(session: Session, tenant: str) -> None:  # noqa: D103
    _print(session, session.call(lambda client: client.tenant(tenant)))


@quota.command("set", help=_SET_HELP, short_help="Change it.")
@click.argument("tenant")
@click.argument("limits", nargs=-1, metavar="[LIMIT=NUMBER...]")
@click.option("--allow-class", "classes", multiple=True, metavar="PATTERN", help="Node classes that graphs may name.")
@click.option("--allow-model", "models", multiple=True, metavar="PATTERN", help="Model files that graphs may name.")
@click.option("--allow-host", "hosts", multiple=True, metavar="PATTERN", help="Hosts that URLs of inputs may name.")
@click.option("--allow-any-class", is_flag=True, help="Take the list of node classes away.")
@click.option("--allow-any-model", is_flag=True, help="Take the list of model files away.")
@click.option("--allow-any-host", is_flag=True, help="Take the list of hosts away.")
@with_session
def set_quota(session: Session, /, *, tenant: str, limits: Sequence[str], **lists: Any) -> None:  # noqa: D103, ANN401
    wanted, options = dict(_limit(text) for text in limits), _lists(**lists)
    if not wanted and not options:
        raise click.UsageError("Say what to change: LIMIT=NUMBER, --allow-class, --allow-model or --allow-host.")

    async def change(client: AsyncClient) -> Tenant:
        known = await client.tenant(tenant)
        if wanted:
            options["limits"] = replace(known.limits, **wanted)
        return await client.update_tenant(tenant, etag=known.etag, **options)

    _print(session, session.call(change))


@click.group(help=_TENANTS_HELP, short_help="Make and see tenants.")
def tenants() -> None:  # noqa: D103
    pass


@tenants.command(help=_CREATE_HELP, short_help="Make one.")
@click.argument("tenant")
@click.option("--name", default="", metavar="TEXT", help="Name for people.")
@with_session
def create(session: Session, tenant: str, name: str) -> None:  # noqa: D103
    _print(session, session.call(lambda client: client.create_tenant(tenant, display_name=name)))


@tenants.command("list", help=_LIST_HELP, short_help="List them.")
@with_session
def list_tenants(session: Session) -> None:  # noqa: D103
    async def fetch(client: AsyncClient) -> list[Tenant]:
        async with aclosing(client.tenants()) as found:
            return [tenant async for tenant in found]

    found = session.call(fetch)
    if session.as_json:
        for tenant in found:
            click.echo(line(plain(tenant)))
    else:
        session.show(tenant_table(found))


@tenants.command(help=_DISABLE_HELP, short_help="Refuse all its calls.")
@click.argument("tenant")
@with_session
def disable(session: Session, tenant: str) -> None:  # noqa: D103
    _print(session, session.call(lambda client: client.update_tenant(tenant, disabled=True)))


@tenants.command(help=_ENABLE_HELP, short_help="Take its calls again.")
@click.argument("tenant")
@with_session
def enable(session: Session, tenant: str) -> None:  # noqa: D103
    _print(session, session.call(lambda client: client.update_tenant(tenant, disabled=False)))


@click.command(help=_AUDIT_HELP, short_help="Show what operators and administrators did.")
@with_session
def audit(session: Session) -> None:  # noqa: D103
    async def fetch(client: AsyncClient) -> list[AuditEvent]:
        async with aclosing(client.audit_events()) as found:
            return [event async for event in found]

    found = session.call(fetch)
    print_list(session, found, audit_table, "No events.")


def _limit(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    kinds: dict[str, type[int | float]] = {name: type(value) for name, value in asdict(Limits()).items()}
    if name not in kinds:
        raise click.UsageError(f"{text!r} is no limit: write LIMIT=NUMBER, with one of {', '.join(kinds)}.")
    try:
        return name, kinds[name](value)
    except ValueError:
        raise click.UsageError(f"{name} can't be {value!r}: give a number, 0 for as much as there is.") from None


def _lists(**said: Any) -> TenantOptions:  # noqa: ANN401
    options: TenantOptions = {}
    if said["classes"] or said["allow_any_class"]:
        options["node_classes"] = said["classes"]
    if said["models"] or said["allow_any_model"]:
        options["models"] = said["models"]
    if said["hosts"] or said["allow_any_host"]:
        options["url_hosts"] = said["hosts"]
    return options


def _print(session: Session, tenant: Tenant) -> None:
    if session.as_json:
        click.echo(line(plain(tenant)))
    else:
        session.show(tenant_details(tenant, datetime.now(UTC)))
