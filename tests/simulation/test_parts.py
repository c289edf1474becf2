"""What the simulation is made of does what it says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from comfymesh.bus import streams
from comfymesh.bus.port import BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.testkit.simulation.bus import Roughness, SimulatedBus, SimulatedServer
from comfymesh.testkit.simulation.lives import Life, Process, adopt, current
from comfymesh.testkit.simulation.loop import Pause, StuckError, VirtualLoop, only

Main = Callable[[], Coroutine[Any, Any, Any]]


def virtually(main: Main) -> Any:
    """Run something on a virtual clock."""
    loop = VirtualLoop(adopt)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


class TestLoop:
    def test_waiting_takes_no_time_but_its_own(self) -> None:
        async def main() -> float:
            await asyncio.sleep(86_400)
            return asyncio.get_running_loop().time()

        assert virtually(main) == pytest.approx(86_400, abs=0.01)

    def test_timers_come_in_order(self) -> None:
        async def main() -> list[int]:
            came: list[int] = []

            async def come(number: int) -> None:
                await asyncio.sleep(number)
                came.append(number)

            await asyncio.gather(*(come(number) for number in (3, 1, 2)))
            return came

        assert virtually(main) == [1, 2, 3]

    def test_waiting_for_what_never_comes_is_noticed(self) -> None:
        with pytest.raises(StuckError):
            virtually(lambda: asyncio.Event().wait())

    def test_what_goes_wrong_in_a_callback_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.call_soon(int, "soon")
            loop.call_later(1, int, "later")
            await asyncio.sleep(2)

        virtually(main)
        told = [record.exc_info[1] for record in caplog.records if record.exc_info]
        assert [type(error) for error in told] == [ValueError, ValueError]

    def test_what_is_meant_for_a_thread_is_done_at_once(self) -> None:
        async def main() -> int:
            return await asyncio.to_thread(sum, [1, 2])

        assert virtually(main) == 3

    def test_a_timer_that_is_cancelled_calls_nothing_and_takes_no_time(self) -> None:
        async def main() -> tuple[list[str], bool, bool]:
            loop, called = asyncio.get_running_loop(), list[str]()
            soon, later = loop.call_soon(called.append, "soon"), loop.call_later(500, called.append, "later")
            soon.cancel()
            later.cancel()
            await asyncio.sleep(1)
            return called, later.cancelled(), loop.time() < 2

        assert virtually(main) == ([], True, True)

    @pytest.mark.parametrize("wait", [Pause, asyncio.sleep])
    def test_a_wait_that_is_cancelled_ends_at_once(self, wait: Callable[[float], Awaitable[None]]) -> None:
        async def main() -> tuple[bool, float]:
            async def waits() -> None:
                await wait(100)

            waiting = asyncio.ensure_future(waits())
            await asyncio.sleep(1)
            waiting.cancel("enough")
            await asyncio.wait([waiting])
            return waiting.cancelled(), asyncio.get_running_loop().time()

        assert virtually(main) == (True, pytest.approx(1, abs=0.01))

    def test_a_generator_that_nobody_has_any_more_is_closed(self) -> None:
        async def main() -> list[str]:
            closed = list[str]()

            async def counts() -> AsyncGenerator[int, None]:
                try:
                    yield 1
                finally:
                    await asyncio.sleep(1)
                    closed.append("closed")

            await anext(counts())
            await asyncio.sleep(2)
            return closed

        assert virtually(main) == ["closed"]

    def test_a_pause_is_as_long_as_it_says(self) -> None:
        async def main() -> float:
            await Pause(7)
            return asyncio.get_running_loop().time()

        assert virtually(main) == pytest.approx(7, abs=0.01)

    def test_within_a_loop_there_is_no_other(self) -> None:
        async def main() -> tuple[bool, bool]:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            with only(loop):
                within = await asyncio.wait_for(asyncio.sleep(1, asyncio.get_running_loop() is loop), 2)
            return within, asyncio.get_running_loop() is loop

        assert virtually(main) == (True, True)


class TestLives:
    def test_a_life_that_is_killed_does_nothing_more(self) -> None:
        done: list[str] = []

        async def serve(stop: asyncio.Event) -> None:
            del stop
            try:
                await asyncio.gather(*(asyncio.create_task(asyncio.sleep(100)) for _ in range(3)))
            finally:
                life = current()
                done.append("alive" if life.alive else "dead")
                life.check()
                done.append("acts")

        async def main() -> None:
            process = Process("one", serve, 1.0, lambda *_: done.append("failed"))
            running = asyncio.ensure_future(process.run())
            await asyncio.sleep(1)
            first = process.life
            await process.kill(5.0)
            await asyncio.sleep(2)
            assert process.life is not None
            assert process.life is not first
            await process.life.kill()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        virtually(main)
        assert set(done) == {"dead"}

    def test_one_that_is_terminated_ends_by_itself(self) -> None:
        ended: list[bool] = []

        async def serve(stop: asyncio.Event) -> None:
            await stop.wait()
            await asyncio.sleep(3)
            ended.append(current().alive)

        async def main() -> None:
            process = Process("one", serve, 1.0, lambda *_: None)
            running = asyncio.ensure_future(process.run())
            await asyncio.sleep(1)
            await process.terminate(0.0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        virtually(main)
        assert ended == [True]

    def test_an_end_by_a_defect_is_told(self) -> None:
        told: list[str] = []

        async def serve(stop: asyncio.Event) -> None:
            del stop
            raise KeyError("defect")

        async def main() -> None:
            process = Process("one", serve, 10.0, lambda name, error: told.append(f"{name}: {error!r}"))
            running = asyncio.ensure_future(process.run())
            await asyncio.sleep(1)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        virtually(main)
        assert told == ["one: KeyError('defect')"]


Act = Callable[[SimulatedBus, SimulatedServer, Life], Coroutine[Any, Any, Any]]


Told = list[tuple[bytes | None, float]]
"""What a tail of tasks told and when; None for having caught up."""


async def follow(bus: SimulatedBus, told: Told) -> None:
    async for item in bus.tail(streams.TASKS, "task.>"):
        told.append((None if isinstance(item, CaughtUp) else item.data, asyncio.get_running_loop().time()))


def on_a_bus(rough: Roughness, act: Act, lags: Mapping[tuple[str, str], float] = MappingProxyType({})) -> Any:
    """Do something over a connection with these faults."""

    async def main() -> Any:
        server, life = SimulatedServer(asyncio.get_running_loop().time), Life("one")
        answer = await act(SimulatedBus(server, life, rough, random.Random(1), lags), server, life)
        await life.kill()
        return answer

    return virtually(main)


ENTRY = Entry("task.default.one", b"record", 0)


class TestBus:
    def test_what_is_stored_without_an_answer_is_stored(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> int:
            with pytest.raises(BusUnavailableError):
                await bus.append([ENTRY])
            return len(server.stored("task.>"))

        assert on_a_bus(Roughness(lost_confirmation=1.0), act) == 1

    def test_what_was_given_up_is_stored_later(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> int:
            with pytest.raises(BusUnavailableError):
                await bus.append([ENTRY])
            await asyncio.sleep(20)
            return len(server.stored("task.>"))

        assert on_a_bus(Roughness(late=1.0), act) == 1

    def test_what_is_refused_is_not_stored(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> int:
            with pytest.raises(BusUnavailableError):
                await bus.append([ENTRY])
            await asyncio.sleep(20)
            return len(server.stored("task.>"))

        assert on_a_bus(Roughness(refused=1.0), act) == 0

    def test_guards_are_kept_and_remembered(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> list[int | None]:
            (sequence,) = await bus.append([ENTRY])
            with pytest.raises(SequenceConflictError):
                await bus.append([ENTRY])
            await bus.append([Entry(ENTRY.subject, b"next", sequence)])
            await bus.append([Entry(ENTRY.subject, b"unguarded")])
            return [expected for _, expected in server.written]

        assert on_a_bus(Roughness(), act) == [0, 1, None]

    def test_a_connection_that_is_cut_says_so(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> bool:
            bus.cut = True
            with pytest.raises(BusUnavailableError):
                await bus.publish("report.one", b"")
            with pytest.raises(BusUnavailableError):
                await bus.last(streams.TASKS, ENTRY.subject)
            return bus.connected

        assert on_a_bus(Roughness(), act) is False

    def test_messages_keep_their_order_however_long_their_way(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> list[bytes]:
            heard: list[Message] = []
            await bus.subscribe("progress.*.*", heard.append)
            for number in range(50):
                await bus.publish("progress.default.one", bytes([number]))
            await asyncio.sleep(60)
            return [message.data for message in heard]

        assert on_a_bus(Roughness(latency=0.05, slow=0.1), act) == [bytes([number]) for number in range(50)]

    def test_a_life_that_is_over_hears_and_says_nothing(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> list[Message]:
            heard: list[Message] = []
            await bus.subscribe("report.*", heard.append)
            await life.kill()
            with pytest.raises(asyncio.CancelledError):
                await bus.append([ENTRY])
            await server.publish("report.one", b"")
            await asyncio.sleep(5)
            return heard + server.stored("task.>")

        assert on_a_bus(Roughness(), act) == []

    def test_work_comes_once_more_seconds_later(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> list[int]:
            await bus.publish("work.one", b"")
            await asyncio.sleep(0.5)
            soon = len(server.stored("work.>"))
            await asyncio.sleep(10)
            return [soon, len(server.stored("work.>"))]

        assert on_a_bus(Roughness(redelivered=1.0), act) == [1, 2]

    def test_what_else_is_stored_wakes_nobody_who_waits_for_work(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> tuple[list[bytes], bool]:
            got = list[bytes]()

            async def take() -> None:
                async for message in server.work(streams.WORK, "work.one", "one"):
                    got.append(message.data)

            taking = life.spawn(take())
            await asyncio.sleep(0.1)
            waits = taking._fut_waiter  # type: ignore[attr-defined]  # typeshed has only what is public
            await server.append([ENTRY])
            await asyncio.sleep(0.1)
            still = taking._fut_waiter is waits  # type: ignore[attr-defined]
            await server.publish("work.one", b"work")
            await asyncio.sleep(0.1)
            return got, still

        assert on_a_bus(Roughness(), act) == ([b"work"], True)

    def test_what_was_sent_by_one_that_is_killed_arrives_now_and_then(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> int:
            for number in range(20):
                life.spawn(bus.append([Entry(f"task.default.{number}", b"record", 0)]))
            await asyncio.sleep(1e-5)
            await life.kill()
            await asyncio.sleep(20)
            return len(server.stored("task.>"))

        assert 0 < on_a_bus(Roughness(latency=1.0), act) < 20

    def test_a_stream_that_lags_tells_all_late_and_in_order_and_calls_do_not_wait(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> tuple[Told, float]:
            lags["one", "TASKS"] = 2.0
            clock, (began,) = asyncio.get_running_loop().time, await bus.append([ENTRY])
            opened, told = clock(), Told()
            life.spawn(follow(bus, told))
            await asyncio.sleep(1.0)
            await bus.append([replace(ENTRY, data=b"next", expected=began)])
            asked = clock()
            await bus.last(streams.TASKS, ENTRY.subject)
            waited = clock() - asked
            await asyncio.sleep(10)
            return [(what, at - opened) for what, at in told], waited

        lags = dict[tuple[str, str], float]()
        told, waited = on_a_bus(Roughness(), act, lags)
        assert [what for what, _ in told] == [b"record", None, b"next"]
        assert [at for _, at in told] == [pytest.approx(at, abs=0.1) for at in (2.0, 2.0, 3.0)]
        assert waited < 0.1

    def test_another_stream_and_another_process_do_not_lag(self) -> None:
        async def act(bus: SimulatedBus, server: SimulatedServer, life: Life) -> Told:
            told: Told = []
            opened = asyncio.get_running_loop().time()
            await bus.append([ENTRY])
            life.spawn(follow(bus, told))
            await asyncio.sleep(1.0)
            return [(what, at - opened) for what, at in told]

        told = on_a_bus(Roughness(), act, {("one", "REPORTS"): 2.0, ("two", "TASKS"): 2.0})
        assert [what for what, _ in told] == [b"record", None]
