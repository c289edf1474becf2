"""comfymesh.v1.FleetService."""

from __future__ import annotations

from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import paging
from comfymesh.api.errors import Violation, invalid, not_found
from comfymesh.api.fleet import FleetView
from comfymesh.bus.intents import Availability, Intent, IntentStore
from comfymesh.v1 import fleet_service_pb2, fleet_service_pb2_grpc, node_pb2

_MAX_REASON = 512

Context = grpc.aio.ServicerContext[Any, Any]


class FleetService(fleet_service_pb2_grpc.FleetServiceServicer):
    """Shows the GPU hosts of the mesh, and writes down what is wanted of them.

    Args:
        fleet: The nodes.
        intents: What is wanted of them.
    """

    def __init__(self, fleet: FleetView, intents: IntentStore) -> None:
        self._fleet = fleet
        self._intents = intents

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
        size = paging.size(request.page_size)
        after = str(paging.read_token(request, request.page_token, str)[0]) if request.page_token else ""
        nodes = [node for node in self._fleet.nodes() if node.name > after]
        token = paging.make_token(request, [nodes[size - 1].name]) if len(nodes) > size else ""
        return fleet_service_pb2.ListNodesResponse(nodes=nodes[:size], next_page_token=token)

    async def _want(self, name: str, availability: Availability, reason: str) -> node_pb2.Node:
        node = names.parse_node(name)
        if len(reason) > _MAX_REASON:
            raise invalid([Violation("reason", f"has {len(reason)} characters; at most {_MAX_REASON} are allowed")])
        self._node(name)
        intent = Intent(node, availability, reason)
        await self._intents.write(intent)
        # The stream tells it to every process of the API, to this one too, but not before this answer.
        self._fleet.intend(intent)
        return self._node(name)

    def _node(self, name: str) -> node_pb2.Node:
        names.parse_node(name)
        node = self._fleet.node(name)
        if node is None:
            raise not_found("node", name)
        return node
