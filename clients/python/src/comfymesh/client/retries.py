"""When to try again: only what was UNAVAILABLE, with growing and random pauses, and not for ever."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from comfymesh.client.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from comfymesh.client.errors import ComfyMeshError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a client is.

    Attributes:
        connect_timeout: Seconds to go on trying a server that has never answered: the address may be wrong. As with
            `patience`, a call that is not a stream has no more than the client's `timeout`.
        patience: Seconds to go on trying a server that did answer before: it may be restarting.
        first_pause: Seconds before the first repetition, before jitter.
        longest_pause: Seconds that no pause exceeds, unless the server asks for more.
    """

    connect_timeout: float = 10.0
    patience: float = 120.0
    first_pause: float = 0.1
    longest_pause: float = 5.0

    def pause(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures in a row.

        Args:
            failures: How many, from 1.
            chance: A random number from 0 to 1; half of the pause depends on it, so that clients spread.
        """
        # The exponent is capped because a float overflows long before a patient client gives up.
        whole = min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 32))
        return whole * (0.5 + chance / 2)


class Server:
    """What a client remembers about its server: whether it ever answered.

    Args:
        policy: How patient to be.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        chance: Random numbers from 0 to 1.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy
        self.clock = clock
        self.sleep = sleep
        self.chance = chance
        self.answered = False

    def retrier(self, budget: float | None = None) -> Retrier:
        """A fresh count of failures, for one call or stream.

        Args:
            budget: Seconds that all attempts together may take, or None for what the policy allows.
        """
        return Retrier(self, budget)

    async def retry(self, attempt: Callable[[float], Awaitable[T]], *, timeout: float | None = None) -> T:
        """Makes an idempotent call until it is answered.

        Args:
            attempt: Makes the call once, with the seconds that it may take.
            timeout: Seconds that all attempts together may take, or None for what the policy allows.

        Returns:
            What the call answered.

        Raises:
            ComfyMeshError: What the last attempt raised.
        """
        retrier = self.retrier(timeout)
        while True:
            try:
                answer = await attempt(retrier.remaining)
            except Unavailable as error:
                await retrier.failed(error)
            else:
                self.answered = True
                return answer


class Retrier:
    """Counts failures in a row and waits between them, until patience is at its end."""

    def __init__(self, server: Server, budget: float | None) -> None:
        self._server = server
        self._budget = budget
        self._since = server.clock()
        self._failures = 0

    @property
    def remaining(self) -> float:
        """Seconds left of the budget, at least one millisecond; without a budget, of the policy's patience."""
        limit = self._budget if self._budget is not None else self._allowed()
        return max(0.001, limit - (self._server.clock() - self._since))

    def succeeded(self) -> None:
        """The server answered; the next failure is the first of a new row."""
        self._server.answered = True
        self._failures = 0
        self._since = self._server.clock()

    async def failed(self, error: ComfyMeshError) -> None:
        """Waits before the next attempt.

        Raises:
            ComfyMeshError: The given error, when the next attempt would come too late.
        """
        self._failures += 1
        if self._failures == 1 and self._budget is None:
            # A stream may have been quiet for hours before it broke; patience begins now.
            self._since = self._server.clock()
        pause = self._server.policy.pause(self._failures, self._server.chance())
        if error.retry_after is not None:
            pause = max(pause, error.retry_after.total_seconds())
        if self._server.clock() + pause - self._since > self._allowed():
            raise error
        await self._server.sleep(pause)

    def _allowed(self) -> float:
        # An error with the mesh's own reason was answered by the mesh, but `answered` is only set by success: a server
        # that has never served is given the shorter time, whatever it says.
        policy = self._server.policy
        allowed = policy.patience if self._server.answered else policy.connect_timeout
        return allowed if self._budget is None else min(allowed, self._budget)
