"""A thread with an event loop, for callers without one."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, TypeVar

from comfymesh.client.errors import CLOSED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
    from concurrent.futures import Future
    from typing import Any

T = TypeVar("T")

_OWN_THREAD = "a callback can't wait for its own client; use another client there, or another thread"


class LoopThread:
    """An event loop that runs on a thread of its own until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._closed = False
        self._closing = threading.RLock()  # The garbage collector may begin something while it is held.
        self._thread = threading.Thread(target=self._run, name="comfymesh-client", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there and waits for it. An interruption of the wait, such as Ctrl-C, cancels it.

        Raises:
            RuntimeError: The client is closed, or this is its own thread, which would wait for itself.
        """
        future = self._begin(work)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None
        finally:
            future.cancel()

    def iterate(self, items: AsyncGenerator[T]) -> Iterator[T]:
        """Yields what an asynchronous generator yields there; closes it when the iteration is left early.

        The garbage collector may be what leaves it, on any thread. On this one it closes the generator by itself.
        """
        try:
            while True:
                try:
                    yield self.call(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            if not (self._closed or self._is_current()):
                self.call(items.aclose())

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does a last thing there, ends the loop with all that others wait for, and joins the thread."""
        if self._closed:
            return
        self.call(last())
        with self._closing:
            self._closed = True
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._is_current():
            work.close()
            raise RuntimeError(_OWN_THREAD)
        with self._closing:  # What begins before it is closed is seen to its end.
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RuntimeError(CLOSED)

    def _is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stop.wait())


async def _next(items: AsyncGenerator[T]) -> T:
    return await anext(items)
