"""When an instance that serves is looked at more closely."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from comfymesh.agent.comfyui.answers import QueueIds
from comfymesh.agent.domain.ladder import Limits
from comfymesh.agent.keeper import Keeper

WAITING = QueueIds(running=(), pending=("p",))
EXECUTING = QueueIds(running=("p",), pending=())


async def test_a_queue_in_which_prompts_wait_and_none_is_executed_is_read_again_at_the_next_look() -> None:
    read = [WAITING, EXECUTING]

    async def answer() -> dict[str, Any]:
        return {}

    async def queue() -> QueueIds:
        return read.pop(0)

    async def memory_bytes() -> None:
        return None

    http = SimpleNamespace(system_stats=answer, queue=queue)
    session = SimpleNamespace(http=http, signs=lambda: (), ended=0)
    workplace = SimpleNamespace(session=session, peaks=SimpleNamespace(see=lambda _: None), told_end=None)
    runtime = SimpleNamespace(memory_bytes=memory_bytes)
    keeper = Keeper("x", cast("Any", runtime), cast("Any", workplace), Limits(look=600), lambda _: None)
    seen = [(await keeper._look(0.0)).queue for _ in range(3)]
    assert [bool(one and one.executing) for one in seen] == [False, True, True]
    assert read == []
