"""All workflows without their graphs, as they arrive: to be listed and counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from comfymesh.api.errors import RefusedError
from comfymesh.api.workflows.store import Head, read_head
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, CaughtUp, Message
from comfymesh.bus.streams import WORKFLOWS
from comfymesh.v1.workflow_pb2 import Workflow

logger = logging.getLogger(__name__)

_SEEN_SECONDS = 10.0


class Shelf:
    """Follows what is stored.

    Args:
        bus: Where it is.

    Attributes:
        ready: Set once everything that was stored before the start is known.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._workflows: dict[str, dict[str, tuple[Workflow, int]]] = {}
        self._sequence = 0
        self._changed = asyncio.Event()
        self.ready = asyncio.Event()

    async def follow(self) -> None:
        """Take in changes for ever."""
        async for item in self._bus.tail(WORKFLOWS, subjects.ALL_WORKFLOWS):
            if isinstance(item, CaughtUp):
                self.ready.set()
            else:
                self._take(item)

    def page(
        self, tenant: str, wanted: Callable[[Workflow], bool], size: int, after: str
    ) -> tuple[list[Workflow], str]:
        """At most `size` workflows behind the id `after`, by id; and the last one's id, empty where none follow."""
        mine = self._workflows.get(tenant, {})
        found = [key for key in sorted(mine) if key > after and wanted(mine[key][0])]
        return [mine[key][0] for key in found[:size]], found[size - 1] if len(found) > size else ""

    def count(self, tenant: str) -> int:
        """How many a tenant has that are not deleted."""
        return sum(not workflow.HasField("delete_time") for workflow, _ in self._workflows.get(tenant, {}).values())

    def bytes_of(self, tenant: str) -> int:
        """How many bytes they have, with all versions, and deleted ones."""
        return sum(size for _, size in self._workflows.get(tenant, {}).values())

    async def until(self, sequence: int) -> None:
        """Wait until a change is known here.

        Raises:
            BusUnavailableError: it does not come.
        """
        try:
            async with asyncio.timeout(_SEEN_SECONDS):
                while self._sequence < sequence:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BusUnavailableError("the workflow is stored, and does not arrive here") from None

    def _take(self, item: Message) -> None:
        tenant, workflow_id = subjects.parse_workflow(item.subject)
        try:
            self._put(tenant, workflow_id, read_head(item))
        except RefusedError as error:
            logger.error("%s", error, extra={"action": "record_unreadable"})  # noqa: TRY400  # all is said
        self._sequence = item.sequence
        self._changed.set()

    def _put(self, tenant: str, workflow_id: str, head: Head) -> None:
        mine = self._workflows.setdefault(tenant, {})
        if head.is_there:
            mine[workflow_id] = (head.workflow, head.size_bytes)
        else:
            mine.pop(workflow_id, None)
