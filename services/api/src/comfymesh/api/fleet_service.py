"""comfymesh.v1.FleetService."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import fields, models, paging, pools, preloading
from comfymesh.api.access import caller
from comfymesh.api.access.directory import Directory
from comfymesh.api.catalogs import FleetCatalogs
from comfymesh.api.errors import Violation, invalid, not_found
from comfymesh.api.fleet import FleetView
from comfymesh.api.fleet_watch import LOOK_SECONDS, FleetWatch
from comfymesh.bus.intents import Availability, Intent, IntentStore
from comfymesh.v1 import fleet_service_pb2, fleet_service_pb2_grpc, node_pb2

_MAX_REASON = 512
_MAX_NAME_PART = 256

Context = grpc.aio.ServicerContext[Any, Any]


class FleetService(fleet_service_pb2_grpc.FleetServiceServicer):
    """Shows the GPU hosts of the mesh, and writes down what is wanted of them.

    Args:
        fleet: The nodes.
        intents: What is wanted of them.
        directory: The tenants, and what each may use.
        catalogs: What its instances offer together.
        heartbeat: Longest silence of a stream in seconds.
    """

    def __init__(
        self, fleet: FleetView, intents: IntentStore, directory: Directory, catalogs: FleetCatalogs, heartbeat: float
    ) -> None:
        self._fleet = fleet
        self._intents = intents
        self._directory = directory
        self._catalogs = catalogs
        self._heartbeat = heartbeat

    async def GetNode(
        self, request: fleet_service_pb2.GetNodeRequest, context: Context
    ) -> fleet_service_pb2.GetNodeResponse:
        """See the proto."""
        return fleet_service_pb2.GetNodeResponse(node=self._node(request.name))

    async def CordonNode(
        self, request: fleet_service_pb2.CordonNodeRequest, context: Context
    ) -> fleet_service_pb2.CordonNodeResponse:
        """See the proto."""
        node = await self._want(request.name, node_pb2.Node.AVAILABILITY_CORDONED, request.reason)
        return fleet_service_pb2.CordonNodeResponse(node=node)

    async def UncordonNode(
        self, request: fleet_service_pb2.UncordonNodeRequest, context: Context
    ) -> fleet_service_pb2.UncordonNodeResponse:
        """See the proto."""
        node = await self._want(request.name, node_pb2.Node.AVAILABILITY_OPEN, "")
        return fleet_service_pb2.UncordonNodeResponse(node=node)

    async def DrainNode(
        self, request: fleet_service_pb2.DrainNodeRequest, context: Context
    ) -> fleet_service_pb2.DrainNodeResponse:
        """See the proto."""
        node = await self._want(request.name, node_pb2.Node.AVAILABILITY_DRAINING, request.reason)
        return fleet_service_pb2.DrainNodeResponse(node=node)

    async def ListNodes(
        self, request: fleet_service_pb2.ListNodesRequest, context: Context
    ) -> fleet_service_pb2.ListNodesResponse:
        """See the proto."""
        nodes, token = paging.by_name(request, self._fleet.nodes())
        return fleet_service_pb2.ListNodesResponse(nodes=nodes, next_page_token=token)

    async def ListPools(
        self, request: fleet_service_pb2.ListPoolsRequest, context: Context
    ) -> fleet_service_pb2.ListPoolsResponse:
        """See the proto."""
        if request.node and (wrong := list(fields.name_violations(request.node, names.parse_node, "node"))):
            raise invalid(wrong)
        chosen = pools.matching(self._fleet.nodes(), node=request.node, pool=request.pool)
        page, token = paging.by_name(request, chosen)
        return fleet_service_pb2.ListPoolsResponse(pools=page, next_page_token=token)

    async def PreloadModels(
        self, request: fleet_service_pb2.PreloadModelsRequest, context: Context
    ) -> fleet_service_pb2.PreloadModelsResponse:
        """See the proto."""
        if wrong := list(preloading.violations(request)):
            raise invalid(wrong)
        if request.node:
            self._node(request.node)
        wish = preloading.wish(request, self._fleet.offers(), self._fleet.intents())
        for node in wish.nodes:
            preloading.added(self._fleet.intent(node), wish.preload)
        for node in wish.nodes if not request.validate_only else ():
            await self._change(node, lambda intent: preloading.added(intent, wish.preload))
        known = (self._fleet.node(names.node(node)) for node in wish.nodes)
        return fleet_service_pb2.PreloadModelsResponse(nodes=[node for node in known if node is not None])

    async def WatchFleet(
        self, request: fleet_service_pb2.WatchFleetRequest, context: Context
    ) -> AsyncIterator[fleet_service_pb2.WatchFleetResponse]:
        """See the proto."""
        watch = FleetWatch(self._heartbeat, time.monotonic())
        while True:
            for message in watch.look(self._fleet.nodes(), time.monotonic()):
                yield message
            await asyncio.sleep(LOOK_SECONDS)

    async def ListModels(
        self, request: fleet_service_pb2.ListModelsRequest, context: Context
    ) -> fleet_service_pb2.ListModelsResponse:
        """See the proto."""
        if wrong := list(_violations(request)):
            raise invalid(wrong)
        size = paging.size(request.page_size)
        after = str(paging.read_token(request, request.page_token, str)[0]) if request.page_token else ""
        tenant = self._directory.tenant(caller.tenant())
        known = models.models(self._fleet.offers(), self._fleet.nodes(), tenant.allowance if tenant else None)
        chosen = models.matching(
            (model for model in known if model.name > after),
            part=request.name_contains,
            node=request.node,
            resident_only=request.resident_only,
        )
        page = list(islice(chosen, size + 1))
        token = paging.make_token(request, [page[size - 1].name]) if len(page) > size else ""
        return fleet_service_pb2.ListModelsResponse(models=page[:size], next_page_token=token)

    async def ReadCatalog(
        self, request: fleet_service_pb2.ReadCatalogRequest, context: Context
    ) -> AsyncIterator[fleet_service_pb2.ReadCatalogResponse]:
        """See the proto."""
        tenant = self._directory.tenant(caller.tenant())
        catalog = await self._catalogs.read(tenant.allowance if tenant else None)
        yield fleet_service_pb2.ReadCatalogResponse(digest=catalog.digest)
        for classes in catalog.batches() if catalog.digest != request.known_digest else ():
            yield fleet_service_pb2.ReadCatalogResponse(
                node_classes=[fleet_service_pb2.NodeClass(name=name, info_json=info) for name, info in classes]
            )

    async def _want(self, name: str, availability: Availability, reason: str) -> node_pb2.Node:
        node = names.parse_node(name)
        if len(reason) > _MAX_REASON:
            raise invalid([Violation("reason", f"has {len(reason)} characters; at most {_MAX_REASON} are allowed")])
        self._node(name)
        await self._change(node, lambda intent: replace(intent, availability=availability, reason=reason))
        return self._node(name)

    async def _change(self, node: str, to: Callable[[Intent], Intent]) -> None:
        wanted = await self._intents.change(node, to)
        # The stream tells it to every process of the API, to this one too, but not before this answer.
        self._fleet.intend(wanted)

    def _node(self, name: str) -> node_pb2.Node:
        names.parse_node(name)
        node = self._fleet.node(name)
        if node is None:
            raise not_found("node", name)
        return node


def _violations(request: fleet_service_pb2.ListModelsRequest) -> Iterator[Violation]:
    yield from paging.violations(request.page_size)
    if request.node:
        yield from fields.name_violations(request.node, names.parse_node, "node")
    if len(request.name_contains) > _MAX_NAME_PART:
        count = len(request.name_contains)
        yield Violation("name_contains", f"has {count} characters; at most {_MAX_NAME_PART} are allowed")
