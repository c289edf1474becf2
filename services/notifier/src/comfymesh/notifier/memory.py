"""Keeps the notifier's state on the bus, as one message: what happened, what is counted and what is to be told, whole.

The append is guarded by the message before it. So two notifiers can't both go on from the same state: whichever stores
first goes on, the other one ends.
"""

from __future__ import annotations

import logging
import zlib

from pydantic import TypeAdapter, ValidationError

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Entry, SequenceConflictError
from comfymesh.bus.streams import ALERTING
from comfymesh.notifier.domain.state import State
from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError
from comfymesh.runtime.patience import patiently
from comfymesh.runtime.validation import said

logger = logging.getLogger(__name__)

_STATE: TypeAdapter[State] = TypeAdapter(State)
_LARGEST = 64 << 20


class SupersededError(ServiceFailedError):
    """Another notifier has stored its state since."""

    reason = "NOTIFIER_SUPERSEDED"
    exit_code = EXIT_CONFIGURATION

    def __init__(self) -> None:
        super().__init__("another notifier runs on this mesh and has gone on from the same state; run one of them")


class StateUnreadableError(ServiceFailedError):
    """What is stored is no state of this version."""

    reason = "STATE_UNREADABLE"
    exit_code = EXIT_CONFIGURATION

    def __init__(self, sequence: int, problem: str) -> None:
        super().__init__(
            f"message {sequence} on {subjects.NOTIFIER_STATE} is no state that this version can read ({problem}). Run"
            f" the version that wrote it, or remove the message (`nats stream rmm {ALERTING.name} {sequence}`): the"
            " notifier then begins at the end of the log, and what was under way is forgotten"
        )


class Memory:
    """Loads and stores the state.

    Args:
        bus: Where it is.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._sequence = 0

    async def load(self) -> State | None:
        """What was stored last; None where nothing was.

        Raises:
            StateUnreadableError: it can't be read.
        """
        message = await patiently(
            lambda: self._bus.last(ALERTING, subjects.NOTIFIER_STATE), BusUnavailableError, what="read the state"
        )
        if message is None:
            return None
        self._sequence = message.sequence
        try:
            return decode(message.data)
        except (ValueError, zlib.error) as error:
            raise StateUnreadableError(message.sequence, _short(error)) from error

    async def store(self, data: bytes) -> None:
        """Store an encoded state, waiting for the bus as long as it takes.

        Raises:
            SupersededError: somebody else has stored one.
        """
        entry = Entry(subjects.NOTIFIER_STATE, data, self._sequence)

        async def append() -> int:
            try:
                (sequence,) = await self._bus.append([entry])
            except SequenceConflictError as error:
                if error.last is None or error.last.data != data:
                    raise SupersededError from None
                return error.last.sequence  # An earlier try was stored, and only its confirmation was lost.
            return sequence

        self._sequence = await patiently(append, BusUnavailableError, what="store the state")


def encode(state: State) -> bytes:
    """The state as bytes."""
    return zlib.compress(_STATE.dump_json(state), 1)


def decode(data: bytes) -> State:
    """The state in bytes.

    Raises:
        ValueError, zlib.error: there is none.
    """
    unpacked = zlib.decompressobj().decompress(data, _LARGEST)
    return _STATE.validate_json(unpacked)


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {said(first)}"
    return str(error)
