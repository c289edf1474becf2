"""The state, as it is stored."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.notifier import memory
from comfymesh.notifier.domain.alerts import MOST_ALERTS, Numbering
from comfymesh.notifier.domain.events import Gpu, Measured
from comfymesh.notifier.domain.state import State
from comfymesh.notifier.memory import Memory, StateUnreadableError, SupersededError
from comfymesh.testkit.alerting import Telling, rules_of
from comfymesh.testkit.memory_bus import MAX_PAYLOAD, MemoryBus
from comfymesh.testkit.waiting import until

RULES = rules_of(
    {"kind": "task_failed", "group_by": ["task", "class"]},
    {"kind": "failure_rate", "above": 0.1, "minimum": 1},
    {"kind": "node_lost", "for": 5},
    {"kind": "queue_length", "above": 1},
)


@given(st.lists(st.tuples(st.text(max_size=30), st.floats(0, 30)), max_size=8))
@settings(deadline=None, max_examples=40)
def test_a_state_comes_back_as_it_was(story: list[tuple[str, float]]) -> None:
    telling = Telling(RULES)
    telling.reports(down={"a": True}, gpus=(Gpu("G"),))
    telling.happens(Measured(5, 1.0))
    for text, seconds in story:
        telling.fails(message=text, exception_type=text)
        telling.passes(seconds)
    again = memory.decode(memory.encode(telling.core.state))
    assert memory.encode(again) == memory.encode(telling.core.state)
    assert again.position == telling.core.state.position
    assert again.outbox == telling.core.state.outbox


def test_whatever_errors_say_the_state_fits_into_one_message() -> None:
    """Texts that can't be packed, in every alert that there can be, with a notice of each in the outbox."""
    chance = random.Random(1)

    def noise(length: int) -> str:
        return "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(length))

    telling = Telling(RULES)
    words = ("message", "exception_type", "graph_node_class", "node", "instance", "workflow", "model", "graph_node")
    for _ in range(MOST_ALERTS + 50):
        telling.fails(**{word: noise(600) for word in words}, task=noise(100), class_=noise(100))
    assert len(telling.passes(10)) >= MOST_ALERTS
    assert len(memory.encode(telling.core.state)) < MAX_PAYLOAD


async def test_what_was_stored_is_loaded() -> None:
    bus = MemoryBus()
    first = Memory(bus)
    assert await first.load() is None
    await first.store(memory.encode(State(Numbering("x"), position=7)))
    await first.store(memory.encode(State(Numbering("x"), position=8)))
    second = Memory(bus)
    loaded = await second.load()
    assert loaded is not None
    assert loaded.position == 8


async def test_of_two_that_go_on_from_one_state_the_second_is_superseded() -> None:
    bus = MemoryBus()
    one, two = Memory(bus), Memory(bus)
    await one.load()
    await two.load()
    await one.store(b"one")
    with pytest.raises(SupersededError):
        await two.store(b"two")
    await one.store(b"again")


async def test_a_confirmation_that_is_lost_is_no_other_notifier() -> None:
    bus = MemoryBus()
    store = Memory(bus)
    bus.lose_confirmations = True
    storing = asyncio.create_task(store.store(b"state"))
    await until(lambda: bus.stored(subjects.NOTIFIER_STATE))
    bus.lose_confirmations = False
    await storing
    await store.store(b"next")


@pytest.mark.parametrize("data", [b"", b"nonsense", memory.zlib.compress(b"{}"), memory.zlib.compress(b"[" * 1000)])
async def test_what_is_no_state_is_refused_and_says_what_to_do(data: bytes) -> None:
    bus = MemoryBus()
    await bus.append([Entry(subjects.NOTIFIER_STATE, data)])
    with pytest.raises(StateUnreadableError, match="nats stream rmm ALERTING 1") as refused:
        await Memory(bus).load()
    assert refused.value.exit_code == 78
