"""Keeps a JetStream push consumer honest: no gap, no repetition, no reordering. Pure; the driver does the IO.

A consumer numbers what it delivers. A number that is not the next one means that something was lost on the way, and
that the consumer must be made again from where we are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_LAST_DELIVERED = "Nats-Last-Consumer"


@dataclass(frozen=True, slots=True)
class Position:
    """What the reply subject of a delivered message says of it.

    Attributes:
        stream: Sequence in the stream.
        consumer: Sequence in the consumer.
        time: When it was stored, seconds since the epoch.
        pending: Messages that the consumer has still to deliver.
    """

    stream: int
    consumer: int
    time: float
    pending: int


def parse_position(reply: str) -> Position:
    """Read `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`.

    The longer form of newer servers has a domain and an account hash after `$JS.ACK`, and a random token at the end.

    Raises:
        ValueError: the subject is of neither form.
    """
    tokens = reply.split(".")
    if len(tokens) == 9:
        tokens = tokens[5:9]
    elif len(tokens) >= 11:
        tokens = tokens[7:11]
    else:
        raise ValueError(f"{reply!r} is not the reply subject of a JetStream message")
    return Position(int(tokens[0]), int(tokens[1]), int(tokens[2]) / 1e9, int(tokens[3]))


@dataclass(slots=True)
class Order:
    """What is expected next of one consumer, which counts its deliveries from one."""

    delivered: int = 0

    def take(self, position: Position) -> bool:
        """Whether the message is the next one. If not, something was lost and the consumer must be made again."""
        if position.consumer != self.delivered + 1:
            return False
        self.delivered = position.consumer
        return True

    def agrees(self, control: Mapping[str, str]) -> bool:
        """Whether the server, where a control message says so, has delivered no more than we have taken.

        Messages of one connection come in order, so what was delivered before a heartbeat is here before it.
        """
        return int(control.get(_LAST_DELIVERED, self.delivered)) == self.delivered


def is_heartbeat(control: Mapping[str, str]) -> bool:
    """Whether a control message says that nothing came for some time."""
    return _LAST_DELIVERED in control
