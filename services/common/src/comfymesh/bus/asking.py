"""How a node that may not use the bus freely asks the mesh for what is its own, and how the mesh answers.

The subject of a request is `desk.<node>.<verb>`, and the server lets a node's user send none with another node's name
(docs/adr/0020). `last` asks for the last message of a subject, `append` for a record to be stored, `work` for the
consumer of the node's work. Whoever answers is one of the apis.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from comfymesh.bus import subjects
from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection, ConnectionSubscription
from comfymesh.bus.port import BusError, BusUnavailableError, Message
from comfymesh.runtime.background import Background

logger = logging.getLogger(__name__)

LAST = "last"
APPEND = "append"
WORK = "work"

SUBJECT = "Comfymesh-Subject"
TASK = "Comfymesh-Task"
"""`<tenant>.<task_id>` of the task that a blob is wanted for."""
EXPECTED = "Comfymesh-Expected"
SEQUENCE = "Nats-Sequence"
TIME = "Nats-Time-Stamp"
REASON = "Comfymesh-Reason"

OK = 200
NOT_YOURS = 403
"""For good, or until the log has the claim that is on its way."""
NOTHING = 404
CONFLICT = 409
AWAY = 503

_AT_ONCE = 64
"""Requests of one node that are worked at together: twice what eight instances with look-ahead can be waiting for."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of a node."""

    node: str
    verb: str
    headers: Mapping[str, str]
    data: bytes

    @property
    def subject(self) -> str:
        """Which message it is about."""
        return self.headers.get(SUBJECT, "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What it is answered."""

    status: int
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


_TOO_MANY = Answer(AWAY, headers={REASON: f"the node has more than {_AT_ONCE} requests under way"})


def found(message: Message) -> Answer:
    """A message, as the server's own direct reads answer it."""
    stored = datetime.fromtimestamp(message.time, UTC).isoformat()
    headers = {"Nats-Subject": message.subject, SEQUENCE: str(message.sequence), TIME: stored}
    return Answer(OK, message.data, headers)


def not_yours(reason: str) -> Answer:
    """A refusal."""
    return Answer(NOT_YOURS, headers={REASON: reason})


async def serve(
    connection: Connection, answer: Callable[[Ask], Awaitable[Answer]], background: Background
) -> ConnectionSubscription:
    """Have one of all who serve answer each request, until the subscription is closed."""
    waiting = Counter[str]()
    refused = dict[str, str]()

    async def reply(subject: str, ask: Ask) -> None:
        waiting[ask.node] += 1
        try:
            told = await _answer(ask, answer) if waiting[ask.node] <= _AT_ONCE else _TOO_MANY
            if told.status == NOT_YOURS and refused.get(ask.node) != ask.subject:
                refused[ask.node] = ask.subject  # one that asks again and again is told of once
                _tell(ask, told)
            await _send(connection, subject, ask, told)
        finally:
            waiting[ask.node] -= 1

    def take(delivery: Delivery) -> None:
        if delivery.reply:
            _, node, verb = delivery.subject.split(".")
            ask = Ask(node, verb, delivery.headers, delivery.data)
            background.spawn(reply(delivery.reply, ask), f"desk {node}")

    return await connection.subscribe(f"{subjects.desk('*')}.*", take, queue="desk")


async def _answer(ask: Ask, answer: Callable[[Ask], Awaitable[Answer]]) -> Answer:
    try:
        return await answer(ask)
    except BusUnavailableError as error:
        return Answer(AWAY, headers={REASON: str(error)})
    except Exception as error:  # whatever a node sends, it must not take an api down
        logger.exception("a request of node %s met a defect", ask.node, extra={"action": "desk_defect"})
        return not_yours(f"a defect of the api: {type(error).__name__}")


def _tell(ask: Ask, told: Answer) -> None:
    fields = {"action": "node_refused", "node": ask.node, "subject": ask.subject}
    logger.warning("node %s was refused %s: %s", ask.node, ask.subject, told.headers.get(REASON), extra=fields)


async def _send(connection: Connection, reply: str, ask: Ask, told: Answer) -> None:
    # Headers are lines.
    headers = {name: " ".join(value.split()) for name, value in told.headers.items()}
    try:
        await connection.publish(reply, told.data, headers={"Status": str(told.status), **headers})
    except BusError as error:
        logger.debug("an answer to node %s was lost: %s", ask.node, error)
