"""What each api has of the mesh at hand: read whole at its start, and followed from then on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Self

from comfymesh.api.access.directory import Directory
from comfymesh.api.access.stored import StoredAssets
from comfymesh.api.fleet import FleetView
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus.checkpoints import Kept
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.lag import Lag
from comfymesh.bus.tasklog import TaskLog
from comfymesh.runtime import service
from comfymesh.runtime.background import Background


@dataclass(frozen=True, slots=True)
class Sources:
    """The tasks, and what is known beside them.

    Attributes:
        log: The task log, for what must not be old.
        model: All tasks, as far as the hub has followed the log.
        hub: Tells those who watch.
        lag: How far behind the log the hub is.
        fleet: The nodes.
        directory: Tenants, keys and rules.
        assets: The assets that are stored.
        shelf: The workflows.
    """

    log: TaskLog
    model: ReadModel
    hub: Hub
    lag: Lag
    fleet: FleetView
    directory: Directory
    assets: StoredAssets
    shelf: Shelf

    @classmethod
    def follow(cls, bus: JetStreamBus, store: BlobStore, kept: Kept, background: Background) -> Self:
        """Begin to read, for as long as `background` runs."""
        log, model = TaskLog(bus), ReadModel(kept)
        hub, fleet = Hub(model), FleetView(bus, store, time.monotonic)
        background.spawn(fleet.follow(background), "fleet view")
        background.spawn(fleet.follow_intents(), "intents")
        lag = Lag(bus, hub.position)
        background.spawn(hub.follow(lag.noting(log.events(kept.reading.start))), "task hub")
        directory, assets, shelf = Directory(bus, time.time), StoredAssets(bus, time.time), Shelf(bus)
        background.spawn(directory.follow(), "directory")
        background.spawn(assets.follow(), "stored assets")
        background.spawn(shelf.follow(), "shelf of workflows")
        return cls(log, model, hub, lag, fleet, directory, assets, shelf)

    async def ready(self, stop: asyncio.Event, failed: asyncio.Event) -> None:
        """Wait until all that was stored has been read: nobody is let in, and nothing is listed or watched, before.

        Nor is a graph refused that only an instance could run of which has not been read yet what it offers.
        """
        stores = (self.directory.ready, self.assets.ready, self.shelf.ready)
        for ready in (*stores, self.fleet.caught_up, self.fleet.intents_read, self.hub.ready):
            await service.first(ready, stop, failed)
        await service.unless_stopped(stop, self.fleet.looked())
