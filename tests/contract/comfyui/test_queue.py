"""Waiting, deleting, interrupting, cancelling (protocol notes, sections 5 and 6)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from comfymesh.testkit import graphs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.contract.comfyui.conftest import Busy, Client, Graph, MakeGraph


@pytest.fixture
async def busy(comfyui: Client, steps: MakeGraph) -> AsyncIterator[Busy]:
    """A server whose worker is held up; gives the running prompt and the socket of its client."""
    comfyui.require("ProbeSleepSteps")
    socket = await comfyui.connect()
    prompt_id = await comfyui.submit(steps(), client_id=socket.client_id)
    await socket.until(lambda frame: frame.kind == "progress")
    yield socket, prompt_id
    await socket.close()


@pytest.fixture
def gate(tmp_path: Path) -> graphs.Gate:
    return graphs.Gate(tmp_path / "gate")


@pytest.fixture
async def held(comfyui: Client, tiny: MakeGraph, gate: graphs.Gate) -> AsyncIterator[Busy]:
    """A server whose worker stands at the gate."""
    comfyui.require("ProbeGate")
    graph = tiny()
    graph["3"] = graphs.node("ProbeGate", image=["1", 0], path=str(gate.path), nonce=uuid.uuid4().hex)
    graph["2"]["inputs"]["images"] = ["3", 0]
    socket = await comfyui.connect()
    prompt_id = await comfyui.submit(graph, client_id=socket.client_id)
    await socket.until(lambda frame: frame.kind == "executing" and frame.node == "3")
    yield socket, prompt_id
    gate.open()
    await socket.close()


async def test_the_queue_tells_what_runs_and_what_waits(comfyui: Client, busy: Busy, tiny: MakeGraph) -> None:
    _, running = busy
    waiting = await comfyui.submit(tiny())
    queue = await comfyui.get("/queue")
    assert [item[1] for item in queue["queue_running"]] == [running]
    assert [item[1] for item in queue["queue_pending"]] == [waiting]
    number, prompt_id, graph, extra_data, outputs = queue["queue_pending"][0]
    assert isinstance(number, int)
    assert (prompt_id, outputs, set(graph), set(extra_data)) == (waiting, ["2"], {"1", "2"}, {"create_time"})
    assert await comfyui.get("/prompt") == {"exec_info": {"queue_remaining": 2}}


async def test_a_deleted_prompt_leaves_no_trace(comfyui: Client, busy: Busy, tiny: MakeGraph) -> None:
    socket, _ = busy
    waiting = await comfyui.submit(tiny())
    assert (await comfyui.post("/queue", {"delete": [waiting]}))[0] == 200
    assert (await comfyui.get("/queue"))["queue_pending"] == []
    assert await comfyui.get(f"/history/{waiting}") == {}
    await socket.until(
        lambda frame: frame.kind == "status" and frame.data["status"]["exec_info"]["queue_remaining"] == 1
    )


async def test_deleting_does_not_touch_the_running_prompt(comfyui: Client, busy: Busy) -> None:
    _, running = busy
    assert (await comfyui.post("/queue", {"delete": [running]}))[0] == 200
    assert [item[1] for item in (await comfyui.get("/queue"))["queue_running"]] == [running]


async def test_clearing_empties_what_waits(comfyui: Client, busy: Busy, tiny: MakeGraph) -> None:
    for _ in range(3):
        await comfyui.submit(tiny())
    await comfyui.post("/queue", {"clear": True})
    queue = await comfyui.get("/queue")
    assert (len(queue["queue_running"]), queue["queue_pending"]) == (1, [])


async def test_front_prompts_run_first_newest_first(comfyui: Client, busy: Busy, tiny: MakeGraph) -> None:
    socket, running = busy
    order = [
        await comfyui.submit(tiny(), client_id=socket.client_id),
        await comfyui.submit(tiny(), client_id=socket.client_id, front=True),
        await comfyui.submit(tiny(), client_id=socket.client_id, front=True),
    ]
    await comfyui.post("/interrupt", {"prompt_id": running})
    frames = await socket.until_end(order[0])
    started = [frame.data["prompt_id"] for frame in frames if frame.kind == "execution_start"]
    assert started == order[::-1]


async def test_one_id_may_be_queued_twice_and_is_deleted_once(comfyui: Client, busy: Busy, tiny: MakeGraph) -> None:
    prompt_id = str(uuid.uuid4())
    for _ in range(2):
        await comfyui.submit(tiny(), prompt_id=prompt_id)
    await comfyui.post("/queue", {"delete": [prompt_id]})
    assert [item[1] for item in (await comfyui.get("/queue"))["queue_pending"]] == [prompt_id]


async def test_the_same_number_and_id_is_answered_500_and_queued_all_the_same(
    comfyui: Client, busy: Busy, tiny: MakeGraph
) -> None:
    body = {"prompt_id": str(uuid.uuid4()), "number": 3}
    assert (await comfyui.post("/prompt", {"prompt": tiny(), **body}))[0] == 200
    assert (await comfyui.post("/prompt", {"prompt": tiny(), **body}))[0] == 500
    assert len((await comfyui.get("/queue"))["queue_pending"]) == 2


@pytest.mark.parametrize("body", [None, {}, {"prompt_id": ""}, "not json"])
async def test_an_interrupt_without_an_id_stops_what_runs(comfyui: Client, busy: Busy, body: Any) -> None:
    socket, running = busy
    assert (await comfyui.post("/interrupt", body))[0] == 200
    frames = await socket.until_end(running)
    assert [frame.kind for frame in frames if frame.kind != "progress_state"][-3:] == [
        "execution_interrupted",
        "status",
        "executing",
    ]


async def test_an_interrupted_prompt_is_an_error_whose_last_message_says_interrupted(
    comfyui: Client, busy: Busy
) -> None:
    socket, running = busy
    await comfyui.post("/interrupt", {"prompt_id": running})
    await socket.until_end(running)
    status = (await comfyui.get(f"/history/{running}"))[running]["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    event, data = status["messages"][-1]
    assert event == "execution_interrupted"
    assert (data["node_id"], data["node_type"]) == ("2", "ProbeSleepSteps")


async def test_an_interrupt_of_another_prompt_does_nothing(comfyui: Client, busy: Busy) -> None:
    socket, running = busy
    await comfyui.post("/interrupt", {"prompt_id": str(uuid.uuid4())})
    await socket.until(lambda frame: frame.kind == "progress")
    await socket.until(lambda frame: frame.kind == "progress")
    assert [item[1] for item in (await comfyui.get("/queue"))["queue_running"]] == [running]


async def test_an_interrupt_while_nothing_runs_is_forgotten(comfyui: Client, tiny: MakeGraph) -> None:
    await comfyui.post("/interrupt")
    assert (await comfyui.run(tiny())).entry["status"]["completed"]


async def test_a_blocking_node_is_interrupted_only_at_the_next_one(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("ProbeBlock")
    for seconds in (0.5, 5.0, 25.0):
        graph = fresh("23-probe-block.json")
        graph["2"]["inputs"]["seconds"] = seconds
        if interrupted := await _interrupted_at_block(comfyui, graph):
            break
    assert [(data["node_id"], data["node_type"]) for data in interrupted] == [("3", "SaveImage")]


async def _interrupted_at_block(comfyui: Client, graph: Graph) -> list[Any]:
    """Where a prompt ends that is interrupted while its second node blocks. It may have ended by itself before."""
    socket = await comfyui.connect()
    prompt_id = await comfyui.submit(graph, client_id=socket.client_id)
    await socket.until(lambda frame: frame.kind == "executing" and frame.node == "2")
    await comfyui.post("/interrupt", {"prompt_id": prompt_id})
    frames = await socket.until_end(prompt_id)
    await socket.close()
    return [frame.data for frame in frames if frame.kind == "execution_interrupted"]


async def test_a_gate_holds_a_prompt_until_its_file_is_there(comfyui: Client, held: Busy, gate: graphs.Gate) -> None:
    socket, running = held
    assert not await socket.heard() & {"executed", "execution_success"}
    gate.open()
    await socket.until_end(running)
    assert (await comfyui.get(f"/history/{running}"))[running]["status"]["completed"]


async def test_a_prompt_at_a_gate_is_interrupted_there_and_no_other(
    comfyui: Client, held: Busy, tiny: MakeGraph
) -> None:
    socket, running = held
    await comfyui.post("/interrupt", {"prompt_id": running})
    frames = await socket.until_end(running)
    (interrupted,) = [frame.data for frame in frames if frame.kind == "execution_interrupted"]
    assert (interrupted["node_id"], interrupted["node_type"]) == ("3", "ProbeGate")
    assert (await comfyui.run(tiny())).entry["status"]["completed"]


async def test_a_cancelled_job_that_runs_is_stopped(comfyui: Client, busy: Busy) -> None:
    socket, running = busy
    assert await comfyui.post(f"/api/jobs/{running}/cancel") == (200, {"cancelled": True})
    await socket.until_end(running)
    assert (await comfyui.get(f"/api/jobs/{running}"))["status"] == "cancelled"


async def test_a_cancelled_job_that_waits_is_gone(comfyui: Client, busy: Busy, tiny: MakeGraph) -> None:
    waiting = await comfyui.submit(tiny())
    assert await comfyui.post(f"/api/jobs/{waiting}/cancel") == (200, {"cancelled": True})
    async with comfyui.http.get(f"{comfyui.url}/api/jobs/{waiting}") as response:
        assert (response.status, await response.json()) == (404, {"error": "Job not found"})


async def test_cancelling_what_ended_or_never_was_changes_nothing(comfyui: Client, tiny: MakeGraph) -> None:
    run = await comfyui.run(tiny())
    assert await comfyui.post(f"/api/jobs/{run.prompt_id}/cancel") == (200, {"cancelled": False})
    assert await comfyui.post("/api/jobs/nope/cancel") == (200, {"cancelled": False})


async def test_a_cancel_repeated_until_the_job_is_gone_always_stops_it(comfyui: Client, steps: MakeGraph) -> None:
    # Once is not enough: a cancel that lands between dequeue and start is answered "cancelled" and lost.
    comfyui.require("ProbeSleepSteps")
    for _ in range(10):
        prompt_id = await comfyui.submit(steps())
        assert await comfyui.post(f"/api/jobs/{prompt_id}/cancel") == (200, {"cancelled": True})
        while (await comfyui.get("/prompt"))["exec_info"]["queue_remaining"]:
            await comfyui.post(f"/api/jobs/{prompt_id}/cancel")
        entry = await comfyui.get(f"/history/{prompt_id}")
        assert not entry or not entry[prompt_id]["status"]["completed"]


async def test_several_jobs_are_cancelled_at_once(comfyui: Client, busy: Busy, tiny: MakeGraph) -> None:
    socket, running = busy
    waiting = await comfyui.submit(tiny())
    ids = [running, waiting, str(uuid.uuid4())]
    assert await comfyui.post("/api/jobs/cancel", {"job_ids": ids}) == (200, {"cancelled": True})
    await socket.until_end(running)
    assert (await comfyui.get("/queue")) == {"queue_running": [], "queue_pending": []}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"job_ids": ["x", 5]}, {"error": "job_ids contains invalid id(s)", "invalid_ids": ["x", "5"]}),
        ({}, {"error": "job_ids must be a list"}),
        ("{", {"error": "Request body must be valid JSON"}),
    ],
)
async def test_a_malformed_list_of_jobs_is_refused(comfyui: Client, body: Any, answer: Any) -> None:
    assert await comfyui.post("/api/jobs/cancel", body) == (400, answer)


async def test_prompts_run_one_after_another_in_order(comfyui: Client, tiny: MakeGraph) -> None:
    socket = await comfyui.connect()
    ids = [await comfyui.submit(tiny(), client_id=socket.client_id) for _ in range(8)]
    ends = [frame.data["prompt_id"] for frame in await socket.until_end(ids[-1]) if frame.kind.endswith("_success")]
    assert ends == ids
    await socket.close()


@pytest.mark.parametrize("body", [{}, {"unload_models": True}, {"unload_models": True, "free_memory": True}])
async def test_free_answers_at_once(comfyui: Client, body: Any) -> None:
    assert await comfyui.post("/free", body) == (200, "")


async def test_freeing_memory_forgets_results(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    await comfyui.run(graph)
    await comfyui.post("/free", {"free_memory": True})
    # Nothing tells when the worker does it; at the latest after the prompt that it may have begun.
    cached = [(await comfyui.run(graph)).of("execution_cached")[0].data["nodes"] for _ in range(2)]
    assert [] in cached
