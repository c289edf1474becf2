"""comfymesh.v1.FleetService."""

from __future__ import annotations

from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import paging
from comfymesh.api.errors import not_found
from comfymesh.api.fleet import FleetView
from comfymesh.v1 import fleet_service_pb2, fleet_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class FleetService(fleet_service_pb2_grpc.FleetServiceServicer):
    """Shows the GPU hosts of the mesh."""

    def __init__(self, fleet: FleetView) -> None:
        self._fleet = fleet

    async def GetNode(
        self, request: fleet_service_pb2.GetNodeRequest, context: Context
    ) -> fleet_service_pb2.GetNodeResponse:
        """See the proto."""
        names.parse_node(request.name)
        node = self._fleet.node(request.name)
        if node is None:
            raise not_found("node", request.name)
        return fleet_service_pb2.GetNodeResponse(node=node)

    async def ListNodes(
        self, request: fleet_service_pb2.ListNodesRequest, context: Context
    ) -> fleet_service_pb2.ListNodesResponse:
        """See the proto."""
        size = paging.size(request.page_size)
        after = str(paging.read_token(request, request.page_token, str)[0]) if request.page_token else ""
        nodes = [node for node in self._fleet.nodes() if node.name > after]
        token = paging.make_token(request, [nodes[size - 1].name]) if len(nodes) > size else ""
        return fleet_service_pb2.ListNodesResponse(nodes=nodes[:size], next_page_token=token)
