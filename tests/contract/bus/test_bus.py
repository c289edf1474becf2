"""What every bus promises, to the one in memory as to the one on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from comfymesh.bus.port import (
    BusUnavailableError,
    CaughtUp,
    Entry,
    Message,
    MessageTooLargeError,
    SequenceConflictError,
)
from comfymesh.bus.streams import BLOBS, HISTORY, PROGRESS, REPORTS, TASKS, WORK, Stream
from comfymesh.testkit.waiting import take, until

from .conftest import World

TASK = "task.default.one"
OTHER = "task.default.two"
LARGE = 2 * 1024 * 1024


async def store(world: World, *subjects: str) -> list[int]:
    return await world.bus.append([Entry(subject, subject.encode()) for subject in subjects])


async def stored(world: World, subject: str) -> list[bytes]:
    return [message.data for message in await world.bus.after(TASKS, subject, 0, 100)]


@contextlib.asynccontextmanager
async def closing(source: AsyncIterator[object]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await source.aclose()  # type: ignore[attr-defined]  # both are generators


class TestAppend:
    async def test_sequences_of_one_stream_grow_in_the_order_given(self, world: World) -> None:
        sequences = await store(world, TASK, "spec.default.one.digest", OTHER)
        assert sequences == sorted(set(sequences))
        found = await world.bus.after(TASKS, ">", 0, 10)
        assert [message.subject for message in found] == [TASK, "spec.default.one.digest", OTHER]
        assert [message.sequence for message in found] == sequences

    async def test_a_guard_of_zero_holds_for_a_new_subject_only(self, world: World) -> None:
        await world.bus.append([Entry(TASK, b"first", expected=0)])
        with pytest.raises(SequenceConflictError):
            await world.bus.append([Entry(TASK, b"second", expected=0)])
        assert await stored(world, TASK) == [b"first"]

    async def test_a_guard_names_the_last_message_of_its_own_subject(self, world: World) -> None:
        (first,) = await world.bus.append([Entry(TASK, b"first", expected=0)])
        await store(world, OTHER)
        await world.bus.append([Entry(TASK, b"second", expected=first)])
        with pytest.raises(SequenceConflictError) as refused:
            await world.bus.append([Entry(TASK, b"third", expected=first)])
        assert (refused.value.subject, refused.value.expected) == (TASK, first)
        assert await stored(world, TASK) == [b"first", b"second"]

    async def test_of_two_writers_on_the_same_message_exactly_one_wins(self, world: World) -> None:
        (first,) = await world.bus.append([Entry(TASK, b"first", expected=0)])
        writers = [(bus, f"{n}".encode()) for n in range(5) for bus in (world.bus, world.other)]
        outcomes = await asyncio.gather(
            *(bus.append([Entry(TASK, data, expected=first)]) for bus, data in writers), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, SequenceConflictError)]
        assert len(refused) == len(writers) - 1
        (winner,) = [data for (_, data), outcome in zip(writers, outcomes, strict=True) if isinstance(outcome, list)]
        assert await stored(world, TASK) == [b"first", winner]

    async def test_a_refused_entry_does_not_take_the_others_with_it(self, world: World) -> None:
        await store(world, TASK)
        with pytest.raises(SequenceConflictError):
            await world.bus.append([Entry(OTHER, b"kept"), Entry(TASK, b"refused", expected=0)])
        assert await stored(world, OTHER) == [b"kept"]

    async def test_what_is_too_large_is_refused_and_nothing_of_the_batch_is_sent(self, world: World) -> None:
        with pytest.raises(MessageTooLargeError):
            await world.bus.append([Entry(TASK, b"small"), Entry(OTHER, bytes(LARGE))])
        assert await stored(world, ">") == []
        await store(world, TASK)

    async def test_nothing_that_is_taken_is_too_large_for_a_guard_beside_it(self, world: World) -> None:
        size = LARGE
        while True:
            try:
                await world.bus.append([Entry(f"blob.default.{size}.0", bytes(size), expected=0)])
            except MessageTooLargeError:
                size -= 100
            else:
                break
        assert LARGE - 2000 < size < LARGE
        assert world.bus.connected

    async def test_a_subject_that_no_stream_takes_is_not_confirmed(self, world: World) -> None:
        with pytest.raises(BusUnavailableError):
            await world.bus.append([Entry("preview.default.one", b"x")])

    async def test_history_of_one_subject_is_bounded(self, world: World) -> None:
        sequences = await world.bus.append([Entry(TASK, str(n).encode()) for n in range(HISTORY + 3)])
        found = await world.bus.after(TASKS, TASK, 0, 10 * HISTORY)
        assert [message.sequence for message in found] == sequences[3:]


class TestRead:
    async def test_the_last_message_is_the_last_one_appended_by_anybody(self, world: World) -> None:
        assert await world.bus.last(TASKS, TASK) is None
        for n in range(20):
            (sequence,) = await world.other.append([Entry(TASK, str(n).encode())])
            last = await world.bus.last(TASKS, TASK)
            assert last is not None
            assert (last.sequence, last.data, last.subject) == (sequence, str(n).encode(), TASK)

    async def test_after_answers_what_came_later_in_order_and_no_more_than_asked(self, world: World) -> None:
        sequences = await store(world, TASK, OTHER, TASK, TASK)
        found = await world.bus.after(TASKS, TASK, sequences[0], 10)
        assert [message.sequence for message in found] == sequences[2:]
        assert len(await world.bus.after(TASKS, TASK, 0, 2)) == 2
        assert await world.bus.after(TASKS, TASK, sequences[-1], 10) == []

    async def test_after_takes_wildcards(self, world: World) -> None:
        sequences = await store(world, TASK, "spec.default.one.digest", OTHER)
        found = await world.bus.after(TASKS, "task.*.*", 0, 10)
        assert [message.sequence for message in found] == [sequences[0], sequences[2]]

    async def test_data_comes_back_as_it_was(self, world: World) -> None:
        data = bytes(range(256)) * 2048
        await world.bus.append([Entry("blob.default.digest.0", data), Entry("blob.default.digest.1", b"")])
        for index, expected in enumerate((data, b"")):
            message = await world.bus.last(BLOBS, f"blob.default.digest.{index}")
            assert message is not None
            assert message.data == expected


class TestSubjects:
    async def test_those_are_told_that_match_and_have_messages(self, world: World) -> None:
        assert await world.bus.subjects(BLOBS, "blob.default.*.*") == []
        stored = ["blob.default.a.0", "blob.default.a.1", "blob.other.a.0", "asset.default.a", "blob.default.b.0"]
        sequences = await store(world, *stored, stored[0])
        await world.bus.purge(BLOBS, stored[4], sequences[-1])
        assert sorted(await world.other.subjects(BLOBS, "blob.default.*.*")) == stored[:2]


class TestPurge:
    async def test_it_drops_one_subject_up_to_a_message_and_nothing_else(self, world: World) -> None:
        sequences = await store(world, TASK, OTHER, TASK, TASK)
        await world.other.purge(TASKS, TASK, sequences[2])
        found = await world.bus.after(TASKS, ">", 0, 10)
        assert [message.sequence for message in found] == [sequences[1], sequences[3]]

    async def test_it_takes_wildcards(self, world: World) -> None:
        sequences = await store(world, "spec.default.one.a", "spec.default.one.b", "spec.default.two.a", TASK)
        await world.bus.purge(TASKS, "spec.default.one.*", sequences[-1])
        found = await world.bus.after(TASKS, ">", 0, 10)
        assert [message.sequence for message in found] == sequences[2:]

    async def test_after_it_a_guard_of_zero_holds_again_and_sequences_go_on(self, world: World) -> None:
        (first,) = await store(world, TASK)
        await world.bus.purge(TASKS, TASK, first)
        await world.bus.purge(TASKS, TASK, first)
        assert await world.bus.last(TASKS, TASK) is None
        (second,) = await world.bus.append([Entry(TASK, b"", expected=0)])
        assert second > first

    async def test_a_tail_does_not_stumble_over_it(self, world: World) -> None:
        before = await store(world, TASK, OTHER)
        tail = world.bus.tail(TASKS, "task.>")
        async with closing(tail):
            await take(tail, 3)
            await world.other.purge(TASKS, TASK, before[0])
            (later,) = await store(world, TASK)
            (found,) = await take(tail, 1)
            assert isinstance(found, Message)
            assert found.sequence == later


class TestPublish:
    async def test_a_subscriber_hears_what_is_published_from_then_on_in_order(self, world: World) -> None:
        heard: list[Message] = []
        subscription = await world.bus.subscribe("preview.default.*", heard.append)
        await world.bus.last(TASKS, TASK)  # a round trip: the interest has arrived
        for n in range(50):
            await world.other.publish("preview.default.one", str(n).encode())
        await world.other.publish("preview.elsewhere.one", b"not for us")
        await until(lambda: len(heard) == 50, "fifty messages")
        assert [int(message.data) for message in heard] == list(range(50))
        await subscription.close()

    async def test_a_closed_subscription_hears_nothing(self, world: World) -> None:
        heard: list[Message] = []
        closed = await world.bus.subscribe("preview.default.one", heard.append)
        await closed.close()
        still: list[Message] = []
        await world.bus.subscribe("preview.default.one", still.append)
        await world.bus.last(TASKS, TASK)
        await world.other.publish("preview.default.one", b"x")
        await until(lambda: still, "the message")
        assert heard == []

    async def test_what_a_stream_captures_is_kept_and_is_heard(self, world: World) -> None:
        heard: list[Message] = []
        await world.bus.subscribe("progress.default.one", heard.append)
        await world.bus.last(TASKS, TASK)
        for data in (b"1", b"2"):
            await world.bus.publish("progress.default.one", data)
        await until(lambda: len(heard) == 2, "both messages")
        # Whoever listens may hear of a message before it is stored.
        await until(lambda: is_last(world, PROGRESS, "progress.default.one", b"2"), "the last one in its stream")

    async def test_a_message_that_is_too_large_is_refused(self, world: World) -> None:
        with pytest.raises(MessageTooLargeError):
            await world.bus.publish("preview.default.one", bytes(LARGE))


class TestTail:
    async def test_it_begins_with_the_last_message_of_each_subject_then_goes_on(self, world: World) -> None:
        sequences = await store(world, TASK, OTHER, TASK, "spec.default.one.digest")
        tail = world.bus.tail(TASKS, "task.>")
        async with closing(tail):
            first, second, third = await take(tail, 3)
            assert isinstance(first, Message)
            assert isinstance(second, Message)
            assert [first.sequence, second.sequence] == sequences[1:3]
            assert third == CaughtUp()
            later = await world.other.append([Entry(OTHER, b"x"), Entry("spec.default.two.d", b""), Entry(TASK, b"y")])
            found = await take(tail, 2)
            assert [(m.sequence, m.data) for m in found if isinstance(m, Message)] == [
                (later[0], b"x"),
                (later[2], b"y"),
            ]

    async def test_on_an_empty_stream_it_has_caught_up_at_once(self, world: World) -> None:
        tail = world.bus.tail(TASKS, "task.>")
        async with closing(tail):
            assert await take(tail, 1) == [CaughtUp()]

    async def test_many_changes_arrive_once_each_and_in_order(self, world: World) -> None:
        tail = world.bus.tail(TASKS, "task.>")
        async with closing(tail):
            await take(tail, 1)
            appended = []
            for _ in range(10):
                appended += await world.other.append([Entry(f"task.default.t{n}", b"") for n in range(50)])
            found = await take(tail, len(appended))
            assert [m.sequence for m in found if isinstance(m, Message)] == appended

    async def test_a_restart_of_the_server_makes_neither_gap_nor_repetition(self, world: World) -> None:
        before = await store(world, TASK, OTHER)
        tail = world.bus.tail(TASKS, "task.>")
        async with closing(tail):
            seen = [m.sequence for m in await take(tail, 3) if isinstance(m, Message)]
            for _ in range(2):
                before += await store(world, TASK)
                await world.restart()
                before += await store_when_up(world, OTHER)
                seen += [m.sequence for m in await take(tail, 2) if isinstance(m, Message)]
            assert seen == before

    async def test_a_stream_in_memory_that_was_made_anew_is_followed_from_its_beginning(self, world: World) -> None:
        tail = world.bus.tail(REPORTS, "report.*")
        async with closing(tail):
            for n in range(3):
                await world.bus.publish("report.a", str(n).encode())
            await until(lambda: is_last(world, REPORTS, "report.a", b"2"), "the report in its stream")
            first = await take(tail, 2)
            assert [m.data for m in first if isinstance(m, Message)] == [b"2"]
            await world.restart()
            await until(lambda: takes_reports(world), "a stream that takes reports again")
            await world.bus.publish("report.a", b"new")
            (found,) = await take(tail, 1)
            assert isinstance(found, Message)
            assert (found.data, found.sequence) == (b"new", 1)

    async def test_messages_tell_how_long_they_had_been_stored(self, world: World) -> None:
        await store(world, TASK)
        world.let_pass(1.5)
        tail = world.bus.tail(TASKS, "task.>")
        began = time.monotonic()
        async with closing(tail):
            first, _ = await take(tail, 2)
            await store(world, OTHER)
            (second,) = await take(tail, 1)
        assert isinstance(first, Message)
        assert isinstance(second, Message)
        assert first.age >= 1.5
        # The first has grown older meanwhile, for as long as we stood still perhaps.
        assert 0 <= second.age <= first.age + (time.monotonic() - began) - 1.5

    async def test_closing_it_early_is_clean(self, world: World) -> None:
        await store(world, TASK, OTHER)
        tail = world.bus.tail(TASKS, "task.>")
        await take(tail, 1)
        await tail.aclose()  # type: ignore[attr-defined]  # a generator
        await store(world, TASK)


class TestWork:
    async def test_messages_come_once_each_and_in_order(self, world: World) -> None:
        for n in range(5):
            await world.other.publish("work.one", str(n).encode())
        queue = world.bus.work(WORK, "work.one", "one")
        async with closing(queue):
            for n in range(5, 100):
                await world.other.publish("work.one", str(n).encode())
            assert [int(message.data) for message in await take(queue, 100)] == list(range(100))

    async def test_each_consumer_gets_its_own_subject(self, world: World) -> None:
        one, two = world.bus.work(WORK, "work.one", "one"), world.other.work(WORK, "work.two", "two")
        async with closing(one), closing(two):
            await world.bus.publish("work.two", b"2")
            await world.bus.publish("work.one", b"1")
            assert [m.data for m in await take(one, 1)] == [b"1"]
            assert [m.data for m in await take(two, 1)] == [b"2"]

    async def test_what_was_handed_out_is_not_handed_out_to_the_next_life_of_the_consumer(self, world: World) -> None:
        await world.bus.publish("work.one", b"1")
        first = world.bus.work(WORK, "work.one", "one")
        async with closing(first):
            await take(first, 1)
        await world.bus.publish("work.one", b"2")
        second = world.other.work(WORK, "work.one", "one")
        async with closing(second):
            assert [m.data for m in await take(second, 1)] == [b"2"]

    async def test_it_goes_on_after_a_restart_of_the_server(self, world: World) -> None:
        queue = world.bus.work(WORK, "work.one", "one")
        async with closing(queue):
            await world.bus.publish("work.one", b"before")
            assert [m.data for m in await take(queue, 1)] == [b"before"]
            await world.restart()
            following = asyncio.ensure_future(take(queue, 1))
            # As the scheduler does: what the node lacks is sent until it has it.
            await until(lambda: send_until(world, following), "work after the restart")
            assert [m.data for m in following.result()] == [b"after"]


class TestGoingOn:
    async def test_a_tail_behind_a_position_has_every_message_from_there(self, world: World) -> None:
        first, *_, last = await store(world, TASK, "task.default.two", TASK, TASK)
        tail = world.bus.tail(TASKS, "task.>", first)
        async with closing(tail):
            *found, end = await take(tail, 4)
            assert [m.sequence for m in found if isinstance(m, Message)] == [first + 1, first + 2, last]
            assert end == CaughtUp()
            (further,) = await store(world, TASK)
            assert [m.sequence for m in await take(tail, 1) if isinstance(m, Message)] == [further]

    async def test_a_tail_behind_the_last_position_has_caught_up_at_once(self, world: World) -> None:
        (last,) = await store(world, TASK)
        tail = world.bus.tail(TASKS, "task.>", last)
        async with closing(tail):
            assert await take(tail, 1) == [CaughtUp()]
            (further,) = await store(world, TASK)
            assert [m.sequence for m in await take(tail, 1) if isinstance(m, Message)] == [further]

    async def test_the_message_at_a_position(self, world: World) -> None:
        first, second = await store(world, TASK, "task.default.two")
        message = await world.bus.at(TASKS, second)
        assert message is not None
        assert (message.subject, message.sequence) == ("task.default.two", second)
        assert message.time > 0
        await world.bus.purge(TASKS, TASK, first)
        assert await world.bus.at(TASKS, first) is None
        assert await world.bus.at(TASKS, second + 1) is None

    async def test_the_state_of_a_stream(self, world: World) -> None:
        before = await world.bus.state(TASKS)
        *_, last = await store(world, TASK, TASK)
        after = await world.bus.state(TASKS)
        assert (after.created, after.last) == (before.created, last)
        assert after.now >= before.now > 0
        assert (await world.bus.state(WORK)).last == 0

    async def test_a_message_can_say_when_it_goes(self, world: World) -> None:
        await world.bus.append([Entry(TASK, b"stays"), Entry("task.default.two", b"goes", 0, timedelta(seconds=3))])
        assert await stored(world, "task.default.two") == [b"goes"]
        world.let_pass(3.0)
        await until(lambda: is_gone(world, "task.default.two"), "the end of the message")
        assert await stored(world, TASK) == [b"stays"]


class TestOutage:
    async def test_every_call_says_that_the_bus_is_unavailable_and_works_again_later(self, world: World) -> None:
        await store(world, TASK)
        await world.down()
        assert not world.bus.connected
        for call in (
            lambda: world.bus.append([Entry(TASK, b"")]),
            lambda: world.bus.publish(TASK, b""),
            lambda: world.bus.last(TASKS, TASK),
            lambda: world.bus.after(TASKS, TASK, 0, 1),
        ):
            with pytest.raises(BusUnavailableError):
                await call()


async def is_gone(world: World, subject: str) -> bool:
    return not await stored(world, subject)


async def store_when_up(world: World, subject: str) -> list[int]:
    """Store one message after a restart, while streams may not be ready yet."""
    return await until(lambda: try_to_store(world, subject), "an append after the restart")


async def try_to_store(world: World, subject: str) -> list[int]:
    try:
        return await world.bus.append([Entry(subject, b"", expected=await last_sequence(world, subject))])
    except BusUnavailableError:
        return []


async def last_sequence(world: World, subject: str) -> int:
    last = await world.bus.last(TASKS, subject)
    return last.sequence if last else 0


async def is_last(world: World, stream: Stream, subject: str, data: bytes) -> bool:
    last = await world.bus.last(stream, subject)
    return last is not None and last.data == data


async def takes_reports(world: World) -> bool:
    with contextlib.suppress(BusUnavailableError):
        return await world.bus.last(REPORTS, "report.a") is None
    return False


async def send_until(world: World, received: asyncio.Future[list[Message]]) -> bool:
    with contextlib.suppress(BusUnavailableError):
        await world.other.publish("work.one", b"after")
    return received.done()
