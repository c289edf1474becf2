"""Measures calls and watchers of one api."""

from __future__ import annotations

from comfymesh.api.hub import Hub
from comfymesh.api.room import Room
from comfymesh.bus.lag import Lag
from comfymesh.bus.port import BusError
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.metrics import METRICS, Metrics
from comfymesh.telemetry.tracing import Context


def called(method: str, status: str, seconds: float, context: Context | None, metrics: Metrics = METRICS) -> None:
    """A call has ended, with the name of a status code. The span in `context` may become an example of it."""
    metrics.record(catalogue.RPC_DURATION, seconds, "grpc", method, status, context=context)


def refused(reason: str, metrics: Metrics = METRICS) -> None:
    """A call was refused."""
    metrics.add(catalogue.REFUSALS, 1, reason)


def removed(blobs: int, metrics: Metrics = METRICS) -> None:
    """Blobs were removed that nothing named."""
    metrics.add(catalogue.BLOBS_REMOVED, blobs)


class Metering:
    """Looks at how things stand.

    Args:
        hub: Has the watchers.
        room: Has the calls under way.
        lag: How far the hub is behind the log.
        metrics: Where it is told.
    """

    def __init__(self, hub: Hub, room: Room, lag: Lag, metrics: Metrics = METRICS) -> None:
        self._hub = hub
        self._room = room
        self._lag = lag
        self._metrics = metrics

    async def sample(self) -> None:
        """Look once."""
        mailboxes, backlogs = list(self._hub.mailboxes()), list(self._hub.backlogs())
        self._metrics.set(catalogue.WATCHERS, {("task",): len(mailboxes), ("tasks",): len(backlogs)})
        of_task, of_tasks = sum(box.pending for box in mailboxes), sum(backlog.pending for backlog in backlogs)
        self._metrics.set(catalogue.WATCHER_PENDING, {("task",): of_task, ("tasks",): of_tasks})
        self._metrics.set(catalogue.WATCHERS_BEHIND, {(): float(sum(not backlog.joined for backlog in backlogs))})
        self._metrics.set(catalogue.RPC_ACTIVE, {(): float(self._room.taken)})
        try:
            self._metrics.set(catalogue.LOG_LAG, {(): await self._lag.measure()})
        except BusError:
            return  # What was known last stands.
