"""What a gateway knows of before the API's lists do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.client import AsyncClient, Task, TaskState
from comfymesh.gateway.domain import naming
from comfymesh.gateway.domain.fresh import Fresh
from comfymesh.gateway.domain.marks import GATEWAY
from comfymesh.gateway.domain.submission import read
from comfymesh.gateway.mesh import Mesh

PROMPT = "7e1e2fc8-6f6c-4f4e-9a55-0d2b4a9a3c11"


def test_what_was_submitted_is_fresh_until_a_list_has_it() -> None:
    fresh = Fresh()
    fresh.note("a", "1", 0.0)
    fresh.note("a", "2", 1.0)
    fresh.note("b", "3", 1.0)
    assert fresh.unlisted("a", (), 2.0) == ["2", "1"]
    assert fresh.unlisted("a", ["1", "3"], 2.0) == ["2"]
    assert fresh.unlisted("b", (), 2.0) == ["3"]


def test_nothing_is_fresh_for_long_and_not_without_bound() -> None:
    fresh = Fresh()
    fresh.note("a", "old", 0.0)
    assert fresh.unlisted("a", (), 6.0) == []
    for number in range(2000):
        fresh.note("a", str(number), 6.0)
    assert len(fresh.unlisted("a", (), 6.0)) == 1024


@pytest.mark.parametrize("state", [TaskState.QUEUED, TaskState.SUCCEEDED])
async def test_a_prompt_is_in_the_queue_or_in_the_history_from_its_submission_on(state: TaskState) -> None:
    task = Mock(spec=Task, state=state, labels=dict(GATEWAY), artifacts=())
    task.name = f"tasks/{naming.task_id(PROMPT)}"

    async def nothing(**_: object) -> AsyncIterator[Task]:
        for none in list[Task]():
            yield none

    client = Mock(spec=AsyncClient, create=AsyncMock(return_value=task), get=AsyncMock(return_value=task), list=nothing)
    mesh = Mesh(client)
    await mesh.submit(read({"prompt": {}, "prompt_id": PROMPT}, time.time(), lambda: PROMPT), {}, {})
    shown = {wanted: await mesh.tasks([wanted], 10) for wanted in (TaskState.QUEUED, TaskState.SUCCEEDED)}
    assert shown.pop(state) == [task]
    assert list(shown.values()) == [[]]
