"""Where an agent has its orders, its inputs and its place for outputs from: the bus, the store, servers of callers."""

from __future__ import annotations

from comfymesh.agent.domain.folders import Folders
from comfymesh.agent.node_secret import node_secret
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.url_inputs import UrlInputs
from comfymesh.agent.workplace import Files
from comfymesh.artifacts.store import BlobStore, open_store
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.node_bus import NodeBus
from comfymesh.bus.port import Bus
from comfymesh.egress.fetch import Fetcher, FetchLimits
from comfymesh.egress.guard import Egress
from comfymesh.egress.http import OutwardHttp
from comfymesh.runtime import connect
from comfymesh.tasks.record import Key

_INPUT_SILENCE = 15.0
"""Seconds that the server of an input may send nothing."""


async def open_bus(settings: AgentSettings) -> JetStreamBus:
    """The bus, as every agent may use it or as the node's own account may."""
    if settings.agent_own_account:
        return await connect.open_node_bus(settings, settings.agent_node)
    return await connect.open_bus(settings, f"agent {settings.agent_node}")


def outward(settings: AgentSettings) -> OutwardHttp:
    """Asks the servers that callers name."""
    return OutwardHttp(Egress(settings.egress_allow), total_seconds=None, silence_seconds=_INPUT_SILENCE)


def files(settings: AgentSettings, bus: Bus, outward: OutwardHttp) -> Files:
    """Where files come from and go to."""
    store = open_store(settings.artifacts_url, bus)

    def inputs(key: Key) -> BlobStore:
        return open_store(settings.artifacts_url, bus.for_task(key)) if isinstance(bus, NodeBus) else store

    fetcher = Fetcher(outward, FetchLimits(settings.agent_max_input_bytes))
    urls = UrlInputs(fetcher, settings.input_url_hosts, settings.agent_input_seconds)
    folders = Folders(node_secret(settings.agent_state_directory))
    return Files(store, settings.agent_max_artifact_bytes, folders, inputs, urls.fetch)
