"""When an instance that serves is looked at more closely."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from comfymesh.agent.comfyui.answers import QueueIds
from comfymesh.agent.domain.ladder import Limits
from comfymesh.agent.keeper import Keeper
from comfymesh.agent.runtimes.contract import RuntimeFailed, RuntimeFailureReason

WAITING = QueueIds(running=(), pending=("p",))
EXECUTING = QueueIds(running=("p",), pending=())


FULL = 2**31


def keeper(queues: list[QueueIds], memory: list[int | Exception]) -> Keeper:
    """Keeps an instance that has such queues, and holds such memory, one after the other."""

    async def answer() -> dict[str, Any]:
        return {}

    async def queue() -> QueueIds:
        return queues.pop(0)

    async def memory_bytes() -> int:
        held = memory.pop(0)
        if isinstance(held, Exception):
            raise held
        return held

    http = SimpleNamespace(system_stats=answer, queue=queue)
    session = SimpleNamespace(http=http, signs=lambda: (), ended=0)
    workplace = SimpleNamespace(session=session, peaks=SimpleNamespace(see=lambda _: None), told_end=None)
    runtime = SimpleNamespace(memory_bytes=memory_bytes)
    return Keeper("x", cast("Any", runtime), cast("Any", workplace), Limits(look=600), lambda _: None)


async def test_a_queue_in_which_prompts_wait_and_none_is_executed_is_read_again_at_the_next_look() -> None:
    queues = [WAITING, EXECUTING]
    kept = keeper(queues, [FULL, FULL])
    seen = [(await kept._look(0.0)).queue for _ in range(3)]
    assert [one and bool(one.executing) for one in seen] == [False, True, None]
    assert queues == []


async def test_what_was_not_looked_at_now_is_not_judged_again() -> None:
    gone = RuntimeFailed(RuntimeFailureReason.COMMAND_NOT_FOUND, "")
    kept = keeper([WAITING, EXECUTING], [FULL, gone])
    seen = [(await kept._look(0.0)).memory_bytes for _ in range(3)]
    assert seen == [FULL, None, None]
    assert kept.memory_bytes == FULL
