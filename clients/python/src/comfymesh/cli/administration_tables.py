"""Tables and details of tenants, keys and the audit log, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from comfymesh.cli.columns import PlainTable
from comfymesh.cli.text import age, duration, one_line, short_name, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from comfymesh.client import AuditEvent, Key, Tenant

_NO_LIMIT = "no limit"


def key_table(keys: Sequence[Key], now: datetime) -> PlainTable:
    """Keys, a line for each."""
    table = PlainTable("KEY", "STATE", "SCOPES", "CREATED", "NAME")
    for key in keys:
        created = age(key.create_time, now)
        table.add_row(one_line(key.name), _state(key, now), _scopes(key), created, one_line(key.display_name))
    return table


def key_details(key: Key, now: datetime) -> Table:
    """All about a key."""
    table = _details()
    table.add_row("key", one_line(key.name))
    if key.display_name:
        table.add_row("name", one_line(key.display_name))
    table.add_row("state", _state(key, now))
    table.add_row("scopes", _scopes(key))
    table.add_row("created", age(key.create_time, now))
    if key.rotated_to:
        table.add_row("rotated to", one_line(key.rotated_to))
    return table


def tenant_table(tenants: Sequence[Tenant]) -> PlainTable:
    """Tenants, a line for each."""
    table = PlainTable("TENANT", "STATE", "WAITING", "GPU A DAY", "STORED", "CALLS", "NAME")
    for tenant in tenants:
        limits = dict(_limits(tenant))
        table.add_row(
            short_name(tenant.name),
            Text("disabled", style="red") if tenant.disabled else "",
            *(limits[name] for name in ("waiting tasks", "GPU seconds a day", "stored", "calls a second")),
            one_line(tenant.display_name),
        )
    return table


def tenant_details(tenant: Tenant, now: datetime) -> Table:
    """All about a tenant: what it may use, and what it uses where that is known."""
    table = _details()
    table.add_row("tenant", one_line(tenant.name))
    if tenant.display_name:
        table.add_row("name", one_line(tenant.display_name))
    if tenant.disabled:
        table.add_row("state", Text("disabled", style="red"))
    used = dict(_used(tenant))
    for name, limit in _limits(tenant):
        table.add_row(name, f"{used[name]} of {limit}" if name in used else limit)
    if tenant.usage is not None:
        table.add_row("running tasks", str(tenant.usage.running_tasks))
    table.add_row("node classes", ", ".join(map(one_line, tenant.node_classes)) or "all")
    table.add_row("models", ", ".join(map(one_line, tenant.models)) or "all")
    table.add_row("hosts of URLs", ", ".join(map(one_line, tenant.url_hosts)) or "all")
    if tenant.update_time is not None:
        table.add_row("changed", age(tenant.update_time, now))
    return table


def audit_table(events: Sequence[AuditEvent]) -> PlainTable:
    """Events, a line for each."""
    table = PlainTable("TIME", "ACTOR", "METHOD", "RESOURCE", "OUTCOME", "FROM")
    for event in events:
        table.add_row(
            event.time.isoformat(sep=" ", timespec="seconds") if event.time else "-",
            one_line(event.actor),
            one_line(event.method.rpartition("/")[2]),
            one_line(event.resource) or "-",
            Text(one_line(event.outcome), style="green" if event.outcome == "OK" else "red"),
            one_line(event.peer),
        )
    return table


def _limits(tenant: Tenant) -> Iterator[tuple[str, str]]:
    limits = tenant.limits
    yield "waiting tasks", _or_none(limits.max_waiting_tasks, str(limits.max_waiting_tasks))
    yield "GPU seconds a day", _or_none(limits.gpu_seconds_per_day, duration(limits.gpu_seconds_per_day))
    yield "stored", _or_none(limits.max_stored_bytes, size(limits.max_stored_bytes))
    yield "workflows", _or_none(limits.max_workflows, str(limits.max_workflows))
    yield "calls a second", _or_none(limits.requests_per_second, f"{limits.requests_per_second:g}")


def _used(tenant: Tenant) -> Iterator[tuple[str, str]]:
    if (usage := tenant.usage) is not None:
        yield "waiting tasks", str(usage.waiting_tasks)
        yield "GPU seconds a day", duration(usage.gpu_seconds_today)
        yield "stored", size(usage.stored_bytes)
        yield "workflows", str(usage.workflows)


def _or_none(limit: float, shown: str) -> str:
    return shown if limit else _NO_LIMIT


def _scopes(key: Key) -> str:
    return ", ".join(scope.lower() for scope in key.scopes)


def _state(key: Key, now: datetime) -> Text:
    if key.revoke_time is not None:
        return Text(f"revoked {age(key.revoke_time, now)}", style="red")
    if key.expire_time is not None:
        left = (key.expire_time - now).total_seconds()
        return Text("expired", style="red") if left <= 0 else Text(f"good for {duration(left)}", style="green")
    return Text("good", style="green")


def _details() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    return table
