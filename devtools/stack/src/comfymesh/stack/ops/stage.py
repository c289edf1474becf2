"""A mesh with tenants and everything that looks at it: Prometheus, a notifier, and who receives its messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from comfymesh.client import AsyncClient, ComfyMeshError, Scope
from comfymesh.stack import mesh
from comfymesh.stack.observability import prometheus
from comfymesh.stack.observability.prometheus import Prometheus
from comfymesh.stack.ops.alerts import Inbox, inbox
from comfymesh.stack.ops.looking import until
from comfymesh.stack.ownership import MeshNotReadyError
from comfymesh.stack.processes import Processes, Program

_READY_SECONDS = 120.0
_EMULATOR = ("--step-seconds", "0.05", "--load-seconds", "0.5")
_INSTANCES = ("comfyui-0", "comfyui-1")


@dataclass(frozen=True, slots=True)
class Stage:
    """What is there.

    Attributes:
        directory: That of the mesh.
        clients: One for each tenant, by its name.
        prometheus: Reads every service.
        inbox: Takes the notifier's messages.
    """

    directory: Path
    clients: Mapping[str, AsyncClient]
    prometheus: Prometheus
    inbox: Inbox


@asynccontextmanager
async def staged(directory: Path, rules: Path, collector: str, tenants: tuple[str, ...]) -> AsyncIterator[Stage]:
    """Bring it up; entered once all of it works.

    Args:
        directory: Takes data and logs.
        rules: The notifier's; their channel's address is in OPS_CHANNEL.
        collector: Where services send their spans.
        tenants: Who there is.

    Raises:
        MeshNotReadyError: that took too long.
    """
    async with AsyncExitStack() as stack:
        received = await stack.enter_async_context(inbox())
        settings = {
            "COMFYMESH_OTLP_ENDPOINT": collector,
            "COMFYMESH_METRICS_SAMPLE_SECONDS": "1",
            "COMFYMESH_NOTIFIER_RULES": str(rules),
            "COMFYMESH_EGRESS_ALLOW": "127.0.0.0/8",
            "OPS_CHANNEL": received.address,
        }
        instances = [mesh.emulated(*_EMULATOR, name=name) for name in _INSTANCES]
        plan = mesh.MeshPlan(directory, instances, "127.0.0.1:0", settings, notifier=True, metrics=True)
        up = await stack.enter_async_context(mesh.running(plan))
        target, shown = await stack.enter_async_context(_asking_for_keys(up, settings, directory))
        targets = [*up.metrics.values(), shown]
        reader = await stack.enter_async_context(prometheus.running(directory / "prometheus", targets))
        try:
            async with asyncio.timeout(_READY_SECONDS):
                clients = {name: await _client(stack, up.target, target, name) for name in tenants}
                await until(lambda: reader.reads(len(targets)))
        except TimeoutError:
            raise MeshNotReadyError(f"not all services show their metrics after {_READY_SECONDS:g} s") from None
        yield Stage(directory, clients, reader, received)


@asynccontextmanager
async def _asking_for_keys(up: mesh.Mesh, settings: dict[str, str], directory: Path) -> AsyncIterator[tuple[str, str]]:
    """A second API, for tenants; answers where it listens, and where it shows its metrics."""
    target, shown = (f"127.0.0.1:{mesh.free_port()}" for _ in range(2))
    own = {
        "COMFYMESH_NATS_URL": up.nats_url,
        "COMFYMESH_API_LISTEN": target,
        "COMFYMESH_API_AUTH": "keys",
        "COMFYMESH_METRICS_LISTEN": shown,
    }
    program = Program("api-keys", mesh.module("comfymesh.api.main"), {**settings, **own})
    async with Processes([program], directory / "logs"):
        yield target, shown


async def _client(stack: AsyncExitStack, open_api: str, target: str, tenant: str) -> AsyncClient:
    """A client of a tenant, once the API that asks for keys knows both."""
    async with AsyncClient(open_api) as admin:
        await admin.create_tenant(tenant)
        key = await admin.create_key(tenant, scopes=[Scope.SUBMIT, Scope.READ])
    client = await stack.enter_async_context(AsyncClient(target, api_key=key.secret))
    await until(partial(_answers, client))
    return client


async def _answers(client: AsyncClient) -> bool:
    try:
        return any(node.instances for node in await client.nodes())
    except ComfyMeshError:
        return False
