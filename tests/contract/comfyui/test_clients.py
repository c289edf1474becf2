"""Who gets which events (protocol notes, section 7)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, MakeGraph

SILENT_WITHOUT_CLIENT = {
    "execution_start", "execution_cached", "executing", "executed", "execution_success", "execution_error",
}  # fmt: skip


async def test_the_first_message_is_the_status_with_the_id(comfyui: Client) -> None:
    socket = await comfyui.http.ws_connect(f"{comfyui.url}/ws?clientId=somebody-{uuid.uuid4().hex}")
    first = await socket.receive_json(timeout=10)
    assert first["type"] == "status"
    assert first["data"]["sid"].startswith("somebody-")
    assert "queue_remaining" in first["data"]["status"]["exec_info"]
    await socket.close()


async def test_a_client_without_an_id_is_given_one(comfyui: Client) -> None:
    socket = await comfyui.http.ws_connect(f"{comfyui.url}/ws?clientId=")
    first = await socket.receive_json(timeout=10)
    assert len(first["data"]["sid"]) == 32
    await socket.close()


async def test_feature_flags_are_answered_only_as_the_first_message(comfyui: Client) -> None:
    socket = await comfyui.connect(metadata=False)
    await socket.connection.send_json({"type": "anything", "data": {}})
    await socket.connection.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    assert await socket.heard() <= {"status"}  # That of somebody's prompt that has ended may still come.
    await socket.close()


async def test_text_that_is_not_json_does_not_count_as_a_message(comfyui: Client) -> None:
    socket = await comfyui.connect(metadata=False)
    await socket.connection.send_str("not json")
    await socket.connection.send_json({"type": "feature_flags", "data": {}})
    frames = await socket.until(lambda frame: frame.kind == "feature_flags")
    assert frames[-1].data["supports_preview_metadata"] is True
    await socket.close()


async def test_the_features_are_the_same_over_http(comfyui: Client) -> None:
    socket = await comfyui.connect(metadata=False)
    await socket.connection.send_json({"type": "feature_flags", "data": {}})
    frames = await socket.until(lambda frame: frame.kind == "feature_flags")
    assert frames[-1].data == await comfyui.get("/features")
    await socket.close()


async def test_others_see_only_the_count_of_a_prompt_with_a_client(comfyui: Client, tiny: MakeGraph) -> None:
    watcher = await comfyui.connect()
    await comfyui.run(tiny())
    frames = await watcher.until(
        lambda frame: frame.kind == "status" and frame.data["status"]["exec_info"]["queue_remaining"] == 0
    )
    assert {frame.kind for frame in frames} == {"status"}
    await watcher.close()


async def test_a_prompt_without_a_client_shows_progress_to_everybody_and_the_rest_to_nobody(
    comfyui: Client, steps: MakeGraph
) -> None:
    comfyui.require("ProbeSleepSteps")
    sockets = [await comfyui.connect(), await comfyui.connect(metadata=False)]
    await comfyui.submit(steps(2, 0.01, preview=True))
    for socket in sockets:
        frames = await socket.until(
            lambda frame: frame.kind == "status" and frame.data["status"]["exec_info"]["queue_remaining"] == 0
        )
        kinds = {frame.kind for frame in frames}
        assert not kinds & SILENT_WITHOUT_CLIENT
        assert {"progress", "progress_state", "binary 1"} <= kinds
        await socket.close()


async def test_an_interrupted_prompt_without_a_client_is_told_to_everybody(comfyui: Client, steps: MakeGraph) -> None:
    comfyui.require("ProbeSleepSteps")
    socket = await comfyui.connect()
    prompt_id = await comfyui.submit(steps())
    await socket.until(lambda frame: frame.kind == "progress")
    await comfyui.post("/interrupt")
    frames = await socket.until(lambda frame: frame.kind == "execution_interrupted")
    assert frames[-1].data["prompt_id"] == prompt_id
    await socket.close()


async def test_a_number_as_client_id_matches_no_socket(comfyui: Client, tiny: MakeGraph) -> None:
    socket = await comfyui.connect("5")
    await comfyui.submit(tiny(), client_id=5)
    frames = await socket.until(
        lambda frame: frame.kind == "status" and frame.data["status"]["exec_info"]["queue_remaining"] == 0
    )
    assert {frame.kind for frame in frames} == {"status"}
    await socket.close()


async def test_who_connects_again_is_told_the_running_node_without_its_prompt(
    comfyui: Client, steps: MakeGraph
) -> None:
    comfyui.require("ProbeSleepSteps")
    socket = await comfyui.connect()
    await comfyui.submit(steps(), client_id=socket.client_id)
    await socket.until(lambda frame: frame.kind == "progress")
    await socket.close()
    again = await comfyui.connect(socket.client_id, metadata=False)
    assert (await again.receive()).data == {"node": "2"}
    await again.close()


async def test_a_newer_socket_takes_the_events_over(comfyui: Client, tiny: MakeGraph) -> None:
    older = await comfyui.connect()
    newer = await comfyui.connect(older.client_id)
    prompt_id = await comfyui.submit(tiny(), client_id=older.client_id)
    await newer.until_end(prompt_id)
    assert await older.is_silent()
    await older.close()
    await newer.close()


async def test_a_newer_socket_goes_deaf_when_the_older_one_ends(comfyui: Client, tiny: MakeGraph) -> None:
    older = await comfyui.connect()
    newer = await comfyui.connect(older.client_id)
    await older.close()
    run = await comfyui.run(tiny())
    assert run.entry["status"]["completed"]
    assert await newer.is_silent()
    await newer.close()


async def test_log_lines_go_to_those_who_subscribed(comfyui: Client, tiny: MakeGraph) -> None:
    socket = await comfyui.connect()
    body = {"clientId": socket.client_id, "enabled": True}
    async with comfyui.http.patch(f"{comfyui.url}/internal/logs/subscribe", json=body) as response:
        assert response.status == 200
    await comfyui.submit(tiny())
    frames = await socket.until(lambda frame: frame.kind == "logs")
    assert set(frames[-1].data) == {"entries", "size"}
    assert set(frames[-1].data["entries"][0]) == {"t", "m"}
    await socket.close()


async def test_the_socket_has_a_twin_below_api(comfyui: Client) -> None:
    socket = await comfyui.http.ws_connect(f"{comfyui.url}/api/ws")
    assert (await socket.receive_json(timeout=10))["type"] == "status"
    await socket.close()
