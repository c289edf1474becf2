"""Shows the hosts of the mesh, and says what is wanted of them. The latter is for operators."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from comfymesh.client import fleet_watching
from comfymesh.client.calls import Calls
from comfymesh.client.fleet_convert import node_from_proto
from comfymesh.client.fleet_models import FleetCatalog, Model, ModelPlace, Node
from comfymesh.v1 import fleet_service_pb2, model_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from comfymesh.client.events import FleetEvent


class FleetCalls(Calls):
    """The part of a client that sees to nodes."""

    async def nodes(self) -> Sequence[Node]:
        """All nodes of the fleet, by name.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.ListNodesRequest()
        found: list[Node] = []
        while True:
            answer = await self._call(self._transport.list_nodes, request)
            found += [node_from_proto(message) for message in answer.nodes]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def watch_fleet(self) -> AsyncGenerator[FleetEvent]:
        """Every node as it is, then `CaughtUp`, then each that changes, at most once a second. Has no end.

        Raises:
            ComfyMeshError: The watch was refused, or the server stayed away for too long.
        """
        request = fleet_service_pb2.WatchFleetRequest()
        told = fleet_watching.fleet(
            lambda: self._transport.stream(lambda stubs: stubs.fleet.WatchFleet(request)), self._server
        )
        async with aclosing(told) as events:
            async for event in events:
                yield event

    async def models(
        self, name_contains: str = "", *, node: str | Node = "", resident_only: bool = False
    ) -> Sequence[Model]:
        """Model files of the fleet that the caller may use, by name.

        Args:
            name_contains: Only models whose name contains this, whatever the case.
            node: Only models of this node, or of the node of this name.
            resident_only: Only models in the memory of an instance.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.ListModelsRequest(
            name_contains=name_contains,
            node=node_name(node) if node else "",
            resident_only=resident_only,
            page_size=1000,
        )
        found: list[Model] = []
        while True:
            answer = await self._call(self._list_models, request)
            found += [_model(message) for message in answer.models]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def _list_models(
        self, request: fleet_service_pb2.ListModelsRequest, timeout: float
    ) -> fleet_service_pb2.ListModelsResponse:
        return await self._transport.call(lambda stubs: stubs.fleet.ListModels(request, timeout=timeout))

    async def catalog(self, known_digest: str = "") -> FleetCatalog | None:
        """The node classes of the fleet that the caller may use, as ComfyUI describes them.

        Args:
            known_digest: Digest of the catalog that the caller has.

        Returns:
            The catalog; None where it is still the known one.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.ReadCatalogRequest(known_digest=known_digest)

        async def read(_seconds: float) -> FleetCatalog | None:
            digest, classes = "", dict[str, Any]()
            stream = self._transport.stream(lambda stubs: stubs.fleet.ReadCatalog(request))
            async with aclosing(stream) as messages:
                async for message in messages:
                    digest = digest or message.digest
                    classes |= {each.name: json.loads(each.info_json) for each in message.node_classes}
            return None if digest == known_digest else FleetCatalog(digest, classes)

        return await self._server.retry(read, timeout=self._timeout)

    async def cordon_node(self, node: str | Node, reason: str = "") -> Node:
        """Have a node take no new work. What it has goes on, also what only waits there.

        Args:
            node: The node, or its name.
            reason: Why, for whoever looks at it later.

        Raises:
            NotFound: There is no such node.
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.CordonNodeRequest(name=node_name(node), reason=reason)
        return node_from_proto((await self._call(self._transport.cordon_node, request)).node)

    async def uncordon_node(self, node: str | Node) -> Node:
        """Have a node take work again.

        Raises:
            NotFound: There is no such node.
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.UncordonNodeRequest(name=node_name(node))
        return node_from_proto((await self._call(self._transport.uncordon_node, request)).node)

    async def drain_node(self, node: str | Node, reason: str = "") -> Node:
        """As `cordon_node`, and what has not begun there goes elsewhere. It is empty once `held_attempts` is 0.

        Args:
            node: The node, or its name.
            reason: Why, for whoever looks at it later.

        Raises:
            NotFound: There is no such node.
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.DrainNodeRequest(name=node_name(node), reason=reason)
        return node_from_proto((await self._call(self._transport.drain_node, request)).node)


def node_name(node: str | Node) -> str:
    """The resource name of a node, from itself, its name, or the last part of its name."""
    name = node.name if isinstance(node, Node) else node
    return name if "/" in name else f"nodes/{name}"


def _model(message: model_pb2.Model) -> Model:
    places = tuple(ModelPlace(place.node, place.instance, place.resident, place.size_bytes) for place in message.places)
    return Model(message.name, tuple(message.inputs), places)
