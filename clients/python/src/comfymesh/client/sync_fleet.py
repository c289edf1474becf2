"""The part of a client without asyncio that sees to nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from comfymesh.client.aio import AsyncClient
    from comfymesh.client.events import FleetEvent
    from comfymesh.client.fleet_models import FleetCatalog, Model, Node, Pool, PreloadFile
    from comfymesh.client.loop_thread import LoopThread


class SyncFleetCalls:
    """Nodes, pools and models."""

    _client: AsyncClient
    _thread: LoopThread

    def nodes(self) -> Sequence[Node]:
        """All nodes of the fleet, by name. See `AsyncClient.nodes`."""
        return self._thread.call(self._client.nodes())

    def pools(self, pool: str = "", *, node: str | Node = "") -> Sequence[Pool]:
        """Pools of the fleet, by name. See `AsyncClient.pools`."""
        return self._thread.call(self._client.pools(pool, node=node))

    def preload_models(
        self,
        files: Sequence[str | PreloadFile],
        *,
        node: str | Node = "",
        pool: str = "",
        instance: str = "",
        validate_only: bool = False,
    ) -> Sequence[Node]:
        """Have instances load model files ahead of work. See `AsyncClient.preload_models`."""
        return self._thread.call(
            self._client.preload_models(files, node=node, pool=pool, instance=instance, validate_only=validate_only)
        )

    def watch_fleet(self) -> Iterator[FleetEvent]:
        """Every node as it is, then each that changes, without end. See `AsyncClient.watch_fleet`."""
        return self._thread.iterate(self._client.watch_fleet())

    def models(self, name_contains: str = "", *, node: str | Node = "", resident_only: bool = False) -> Sequence[Model]:
        """Model files of the fleet, by name. See `AsyncClient.models`."""
        return self._thread.call(self._client.models(name_contains, node=node, resident_only=resident_only))

    def catalog(self, known_digest: str = "") -> FleetCatalog | None:
        """The node classes of the fleet, as ComfyUI describes them. See `AsyncClient.catalog`."""
        return self._thread.call(self._client.catalog(known_digest))

    def cordon_node(self, node: str | Node, reason: str = "") -> Node:
        """Have a node take no new work. See `AsyncClient.cordon_node`."""
        return self._thread.call(self._client.cordon_node(node, reason))

    def uncordon_node(self, node: str | Node) -> Node:
        """Have a node take work again. See `AsyncClient.uncordon_node`."""
        return self._thread.call(self._client.uncordon_node(node))

    def drain_node(self, node: str | Node, reason: str = "") -> Node:
        """Have a node take no new work and hand back what has not begun. See `AsyncClient.drain_node`."""
        return self._thread.call(self._client.drain_node(node, reason))
