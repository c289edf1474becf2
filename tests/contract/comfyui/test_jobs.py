"""The view of jobs (protocol notes, section 5.3)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, MakeGraph


async def test_a_finished_job_tells_times_and_outputs(comfyui: Client, tiny: MakeGraph) -> None:
    run = await comfyui.run(tiny())
    job = await comfyui.get(f"/api/jobs/{run.prompt_id}")
    image = run.entry["outputs"]["2"]["images"][0]
    assert job["id"] == run.prompt_id
    assert job["status"] == "completed"
    assert job["priority"] == run.answer["number"]
    assert job["create_time"] <= job["execution_start_time"] <= job["execution_end_time"]
    assert (job["outputs_count"], job["previewable_outputs_count"]) == (1, 1)
    assert job["preview_output"] == {**image, "nodeId": "2", "mediaType": "images"}
    assert job["outputs"] == run.entry["outputs"]
    assert job["execution_status"] == run.entry["status"]
    assert job["workflow"]["prompt"] == run.entry["prompt"][2]
    assert "workflow_id" not in job


async def test_a_failed_job_carries_its_error(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("ProbeRaise")
    run = await comfyui.run(fresh("21-probe-raise-runtime.json"))
    job = await comfyui.get(f"/api/jobs/{run.prompt_id}")
    assert (job["status"], job["execution_error"]["exception_type"]) == ("failed", "RuntimeError")


async def test_a_waiting_job_is_pending_and_a_running_one_in_progress(
    comfyui: Client, steps: MakeGraph, tiny: MakeGraph
) -> None:
    comfyui.require("ProbeSleepSteps")
    socket = await comfyui.connect()
    running = await comfyui.submit(steps(), client_id=socket.client_id)
    await socket.until(lambda frame: frame.kind == "progress")
    waiting = await comfyui.submit(tiny())
    for prompt_id, state in ((running, "in_progress"), (waiting, "pending")):
        job = await comfyui.get(f"/api/jobs/{prompt_id}")
        assert job["status"] == state
        assert set(job) == {
            "id", "status", "priority", "create_time", "outputs_count", "previewable_outputs_count",
        }  # fmt: skip
    listed = await comfyui.get("/api/jobs", status="pending,in_progress")
    assert [job["id"] for job in listed["jobs"]] == [waiting, running]
    await socket.close()


async def test_jobs_are_found_by_their_workflow(comfyui: Client, tiny: MakeGraph) -> None:
    workflow = uuid.uuid4().hex
    run = await comfyui.run(tiny(), extra_data={"extra_pnginfo": {"workflow": {"id": workflow}}})
    listed = await comfyui.get("/api/jobs", workflow_id=workflow)
    assert [(job["id"], job["workflow_id"]) for job in listed["jobs"]] == [(run.prompt_id, workflow)]
    assert listed["pagination"] == {"offset": 0, "limit": None, "total": 1, "has_more": False}


async def test_jobs_come_in_pages(comfyui: Client, tiny: MakeGraph) -> None:
    for _ in range(2):
        await comfyui.run(tiny())
    page = await comfyui.get("/api/jobs", limit="1", offset="-3")
    assert len(page["jobs"]) == 1
    assert page["pagination"]["has_more"] is True
    assert page["pagination"]["offset"] == 0


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (
            {"status": "bogus"},
            "Invalid status value(s): bogus. Valid values: pending, in_progress, completed, failed, cancelled",
        ),
        ({"limit": "0"}, "limit must be a positive integer"),
        ({"limit": "x"}, "limit must be an integer"),
        ({"sort_by": "x"}, "sort_by must be 'created_at' or 'execution_duration'"),
    ],
)
async def test_bad_filters_are_refused(comfyui: Client, params: dict[str, str], error: str) -> None:
    async with comfyui.http.get(f"{comfyui.url}/api/jobs", params=params) as response:
        assert (response.status, await response.json()) == (400, {"error": error})


async def test_jobs_exist_only_below_api(comfyui: Client) -> None:
    async with comfyui.http.get(f"{comfyui.url}/jobs") as response:
        assert response.status == 404
    assert "jobs" in await comfyui.get("/api/api/jobs")
