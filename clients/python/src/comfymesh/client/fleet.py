"""Shows the hosts of the mesh, and says what is wanted of them. The latter is for operators."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from comfymesh.client import fleet_watching
from comfymesh.client.calls import Calls
from comfymesh.client.fleet_convert import node_from_proto, pool_from_proto
from comfymesh.client.fleet_models import FleetCatalog, Model, ModelPlace, Node, PreloadFile
from comfymesh.client.paging import Pages
from comfymesh.v1 import fleet_service_pb2, model_pb2, node_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from comfymesh.client.events import FleetEvent
    from comfymesh.client.fleet_models import Pool


class FleetCalls(Calls):
    """The part of a client that sees to nodes."""

    async def nodes(self) -> Sequence[Node]:
        """All nodes of the fleet, by name.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.ListNodesRequest()
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.fleet.ListNodes(request, timeout=seconds))
        )
        return [node_from_proto(message) async for page in pages for message in page.nodes]

    async def pools(self, pool: str = "", *, node: str | Node = "") -> Sequence[Pool]:
        """Pools of the fleet, by name: what each is, and why it is not larger.

        Args:
            pool: Only pools that tasks ask for by this name.
            node: Only pools of this node, or of the node of this name.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.ListPoolsRequest(pool=pool, node=node_name(node) if node else "", page_size=1000)
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.fleet.ListPools(request, timeout=seconds))
        )
        return [pool_from_proto(message) async for page in pages for message in page.pools]

    async def preload_models(
        self,
        files: Sequence[str | PreloadFile],
        *,
        node: str | Node = "",
        pool: str = "",
        instance: str = "",
        validate_only: bool = False,
    ) -> Sequence[Node]:
        """Have instances load model files ahead of work, in place of what was asked of the same ones before.

        Those that run load them once they hold no attempt, all others when they start. `resident_models` of an instance
        shows what is there, `preload_problems` what could not be loaded.

        Args:
            files: The files, by name, or with what is to load them. None: nothing is to be loaded ahead any more.
            node: Only instances of this node; without it, of each node that has some of the pool now.
            pool: Only instances of this pool. It or the node must be given.
            instance: Only this instance of the node.
            validate_only: Check everything, change nothing.

        Returns:
            The nodes that are asked.

        Raises:
            InvalidRequest: No instance has such a file, or nothing could load it; with the nearest names.
            NotFound: There is no such node, pool or instance.
            ComfyMeshError: The call failed.
        """
        asked = [file if isinstance(file, PreloadFile) else PreloadFile(file) for file in files]
        request = fleet_service_pb2.PreloadModelsRequest(
            node=node_name(node) if node else "",
            pool=pool,
            instance=instance,
            files=[node_pb2.PreloadFile(name=file.name, input=file.input) for file in asked],
            validate_only=validate_only,
        )
        answer = await self._ask(lambda stubs, seconds: stubs.fleet.PreloadModels(request, timeout=seconds))
        return [node_from_proto(message) for message in answer.nodes]

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
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.fleet.ListModels(request, timeout=seconds))
        )
        return [_model(message) async for page in pages for message in page.models]

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
        answer = await self._ask(lambda stubs, seconds: stubs.fleet.CordonNode(request, timeout=seconds))
        return node_from_proto(answer.node)

    async def uncordon_node(self, node: str | Node) -> Node:
        """Have a node take work again.

        Raises:
            NotFound: There is no such node.
            ComfyMeshError: The call failed.
        """
        request = fleet_service_pb2.UncordonNodeRequest(name=node_name(node))
        answer = await self._ask(lambda stubs, seconds: stubs.fleet.UncordonNode(request, timeout=seconds))
        return node_from_proto(answer.node)

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
        answer = await self._ask(lambda stubs, seconds: stubs.fleet.DrainNode(request, timeout=seconds))
        return node_from_proto(answer.node)


def node_name(node: str | Node) -> str:
    """The resource name of a node, from itself, its name, or the last part of its name."""
    name = node.name if isinstance(node, Node) else node
    return name if "/" in name else f"nodes/{name}"


def _model(message: model_pb2.Model) -> Model:
    places = tuple(ModelPlace(place.node, place.instance, place.resident, place.size_bytes) for place in message.places)
    return Model(message.name, tuple(message.inputs), places)
