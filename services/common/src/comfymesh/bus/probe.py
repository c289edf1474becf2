"""Asks a NATS server, once, whether a node could work there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from comfymesh.bus import subjects
from comfymesh.bus.api import NO_STREAM, Api, ApiError, NobodyAnswersError
from comfymesh.bus.connection import Connection
from comfymesh.bus.consumers import create_work_consumer
from comfymesh.bus.node_bus import NodeBus
from comfymesh.bus.port import BusUnavailableError
from comfymesh.bus.server import Server, check_version
from comfymesh.bus.streams import WORK
from comfymesh.bus.tls import Tls

_SECONDS = 3.0

NOT_MADE = "the stream is not there"
REFUSED = "nobody answers"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server said.

    Attributes:
        server: The server.
        refusal: Why it hands out no work; empty where it does.
        server_time: What its clock showed, seconds since the epoch; 0 where it hands out no work.
    """

    server: Server
    refusal: str = ""
    server_time: float = 0.0


async def probe(url: str, node: str, *, own_account: bool = False, tls: Tls | None = None) -> Probe:
    """Connect, look at the server, and make sure of the consumer through which the node takes its work.

    That changes nothing: the same consumer is made when an agent starts, and again whenever it is gone.

    Raises:
        BusUnavailableError: there is no connection.
        BusUnusableError: the server is not fit.
    """
    connection = await Connection.open(url, f"check {node}", tls=tls, patient=False)
    try:
        check_version(connection.server)
        return await (_ask_desk(connection, node) if own_account else _ask_server(connection, node))
    finally:
        await connection.close()


async def _ask_server(connection: Connection, node: str) -> Probe:
    server = connection.server
    try:
        answer = await create_work_consumer(Api(connection, _SECONDS).call, WORK.name, subjects.work(node), node)
    except ApiError as error:
        return Probe(server, NOT_MADE if error.code == NO_STREAM else str(error))
    except (NobodyAnswersError, BusUnavailableError):
        # A server says nothing to whoever asks for what they may not.
        return Probe(server, REFUSED)
    return Probe(server, "", datetime.fromisoformat(answer["ts"]).timestamp())


async def _ask_desk(connection: Connection, node: str) -> Probe:
    try:
        return Probe(connection.server, "", await NodeBus(connection, node, timeout=_SECONDS).ensure_work())
    except BusUnavailableError:
        return Probe(connection.server, REFUSED)
