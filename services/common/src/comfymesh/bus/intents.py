"""What operators want of each node, as it is stored: the last message on its subject."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from google.protobuf.message import DecodeError

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.bus.streams import INTENTS
from comfymesh.bus.subjects import ALL_INTENTS, intent, parse_intent
from comfymesh.tasks.record import ModelFile
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_intent_pb2

logger = logging.getLogger(__name__)

Availability = node_pb2.Node.Availability
OPEN = node_pb2.Node.AVAILABILITY_OPEN

_TRIES = 8


@dataclass(frozen=True, slots=True)
class Preload:
    """Files that instances are to load ahead of work.

    Attributes:
        files: The files, each with what loads it.
        pool: Only instances of this pool; empty for any.
        instance: Only this instance; empty for any.
    """

    files: tuple[ModelFile, ...]
    pool: str = ""
    instance: str = ""

    def is_for(self, pool: str, instance: str) -> bool:
        """Whether an instance of this pool and name is meant."""
        return self.pool in {"", pool} and self.instance in {"", instance}


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of a node.

    Attributes:
        node: Which.
        availability: Whether it is meant to take work.
        reason: Why, in the operator's words.
        preloads: What its instances are to load ahead of work, at most one for each pair of pool and instance.
        sequence: Of the message that tells it; 0 where nobody ever said anything.
    """

    node: str
    availability: Availability = OPEN
    reason: str = ""
    preloads: tuple[Preload, ...] = ()
    sequence: int = field(default=0, compare=False)

    def with_preload(self, preload: Preload) -> Intent:
        """The same with this in place of what was wanted of the same instances; without files, with nothing there."""
        others = [each for each in self.preloads if (each.pool, each.instance) != (preload.pool, preload.instance)]
        return replace(self, preloads=(*others, preload) if preload.files else tuple(others))


class IntentStore:
    """Reads and changes intents.

    Args:
        bus: Where they are.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def change(self, node: str, to: Callable[[Intent], Intent]) -> Intent:
        """Store what `to` makes of what is wanted of a node, and tell the node to look. Of two at once none is lost.

        Raises:
            BusUnavailableError: not confirmed; it may or may not have been stored.
        """
        for _ in range(_TRIES):
            last = await self._bus.last(INTENTS, intent(node))
            message = (_message(last) if last else None) or node_intent_pb2.NodeIntent()
            wanted = to(_intent(node, message))
            _write(wanted, message)
            entry = Entry(intent(node), message.SerializeToString(), last.sequence if last else 0)
            try:
                (sequence,) = await self._bus.append([entry])
            except SequenceConflictError:
                continue
            # What is stored holds, whether the node hears of it now or looks by itself later.
            with contextlib.suppress(BusUnavailableError):
                await self._bus.publish(subjects.wanted(node), b"")
            return replace(wanted, sequence=sequence)
        raise BusUnavailableError(f"what is wanted of {node} was changed by others {_TRIES} times in a row; try again")

    async def read(self, node: str) -> Intent:
        """What is wanted of a node: nothing in particular, if nobody ever said.

        Raises:
            BusUnavailableError: the bus does not answer.
        """
        last = await self._bus.last(INTENTS, intent(node))
        message = _message(last) if last else None
        return _intent(node, message, last.sequence) if last and message else Intent(node)

    async def follow(self) -> AsyncIterator[Intent | CaughtUp]:
        """Every intent that holds, that these are all, then each new one, without end."""
        async for item in self._bus.tail(INTENTS, ALL_INTENTS):
            if isinstance(item, CaughtUp):
                yield item
            elif (message := _message(item)) is not None:
                yield _intent(parse_intent(item.subject), message, item.sequence)


def preload_to_proto(preload: Preload) -> node_pb2.Preload:
    """As callers and nodes are told of it."""
    files = [node_pb2.PreloadFile(name=file.name, input=f"{file.node_class}.{file.input}") for file in preload.files]
    return node_pb2.Preload(pool=preload.pool, instance=preload.instance, files=files)


def _message(stored: Message) -> node_intent_pb2.NodeIntent | None:
    try:
        return node_intent_pb2.NodeIntent.FromString(stored.data)
    except DecodeError as error:
        logger.warning("an intent can't be read: %s", error, extra={"action": "intent_unreadable"})
        return None


def _intent(node: str, message: node_intent_pb2.NodeIntent, sequence: int = 0) -> Intent:
    preloads = tuple(_preload(each) for each in message.preloads)
    return Intent(node, message.availability or OPEN, message.reason, preloads, sequence)


def _write(wanted: Intent, message: node_intent_pb2.NodeIntent) -> None:
    """What a later version has written there besides stays (docs/adr/0047)."""
    message.availability, message.reason = wanted.availability, wanted.reason
    del message.preloads[:]
    message.preloads.extend(preload_to_proto(each) for each in wanted.preloads)


def _preload(message: node_pb2.Preload) -> Preload:
    files = [(*file.input.rpartition(".")[::2], file.name) for file in message.files]
    return Preload(tuple(ModelFile(*file) for file in files), message.pool, message.instance)
