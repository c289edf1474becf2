"""The accounts of a NATS server with which each node reaches its own subjects and no others, as configuration. Pure.

The mesh has one account, with all streams; each node has one of its own, without any. What a node may do is what the
mesh's account exports to it, and a reply that a node asks for comes back into the node's account, wherever in the mesh
it would like to have it sent (docs/adr/0020).
"""

from __future__ import annotations

from collections.abc import Mapping

from comfymesh.bus import subjects
from comfymesh.bus.streams import WORK

MESH = "mesh"
"""The account of the mesh, and its user. No node's account can have that name."""

_HEAD = """\
# Accounts of the mesh. Made by deploy/nats/accounts.py, which makes it anew whenever a node comes or goes.
"""

# What a node tells of tasks and stores for them. It can do so only for those whose names it knows: nothing that it may
# do lists any.
_SHARED = ("progress.*.*", "preview.*.*", "blob.*.*.*")


def configuration(mesh: str, nodes: Mapping[str, str]) -> str:
    """The `accounts` block.

    Args:
        mesh: bcrypt hash of the password of the mesh's own services.
        nodes: Those of the nodes, by name.
    """
    exports = [f'{{service: "{subject}"}}' for subject in _SHARED]
    exports += [export for node in sorted(nodes) for export in _exports(node)]
    accounts = [_account(MESH, MESH, mesh, "jetstream: enabled", _list("exports", exports))]
    accounts += [_account(account(node), node, nodes[node], _list("imports", _imports(node))) for node in sorted(nodes)]
    return f"{_HEAD}\naccounts {{\n{''.join(accounts)}}}\n"


def account(node: str) -> str:
    """The name of a node's account."""
    return f"node-{node}"


def _services(node: str) -> list[str]:
    """What a node may ask for or tell. Acknowledgements are those of its own work alone."""
    return [
        subjects.report(node),
        f"{subjects.desk(node)}.*",
        f"$JS.API.CONSUMER.MSG.NEXT.{WORK.name}.{node}",
        f"$JS.ACK.{WORK.name}.{node}.>",
    ]


def _streams(node: str) -> list[str]:
    """What a node is told."""
    return [subjects.control(node), subjects.interest(node), subjects.demand(node), subjects.wanted(node)]


def _exports(node: str) -> list[str]:
    mine = f'accounts: ["{account(node)}"]'
    return [
        *(f'{{service: "{subject}", response_type: stream, {mine}}}' for subject in _services(node)),
        *(f'{{stream: "{subject}", {mine}}}' for subject in _streams(node)),
    ]


def _imports(node: str) -> list[str]:
    return [
        *(_import("service", subject) for subject in [*_SHARED, *_services(node)]),
        *(_import("stream", subject) for subject in _streams(node)),
    ]


def _import(kind: str, subject: str) -> str:
    return f'{{{kind}: {{account: "{MESH}", subject: "{subject}"}}}}'


def _list(name: str, items: list[str]) -> str:
    return "\n".join([f"{name}: [", *(f"      {item}" for item in items), "    ]"])


def _account(name: str, user: str, password: str, *lines: str) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f'  "{name}": {{\n    users: [{{user: "{user}", password: "{password}"}}]\n{body}  }}\n'
