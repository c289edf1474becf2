"""Lets one of several replicas do what one is enough for. That two do it at once must do no harm."""

from __future__ import annotations

from uuid import uuid4

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusFullError, Entry, SequenceConflictError
from comfymesh.bus.streams import LEASES

_LAPSES_AFTER = 300.0


class Turns:
    """A lease that is kept by taking it again and again.

    Args:
        bus: Where it is.
        role: What is done in turns.
    """

    def __init__(self, bus: Bus, role: str) -> None:
        self._bus = bus
        self._subject = subjects.lease(role)
        self._holder = uuid4().hex.encode()

    async def take(self) -> bool:
        """Whether it is our turn, from now for five minutes.

        Raises:
            BusUnavailableError: nobody can tell.
        """
        last = await self._bus.last(LEASES, self._subject)
        if last is not None and last.data != self._holder:
            # By the server's clock, as both times are.
            age = (await self._bus.state(LEASES)).now - last.time
            if age < _LAPSES_AFTER:
                return False
        try:
            await self._bus.append([Entry(self._subject, self._holder, last.sequence if last else 0)])
        except SequenceConflictError:
            return False
        except BusFullError:
            return True  # now of all times something has to go, and that needs no room
        return True
