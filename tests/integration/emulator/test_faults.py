"""Every fault shows itself as the failure that it is named after."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from comfymesh.emulator import Fault, Settings, serving
from comfymesh.emulator.raising import OUT_OF_MEMORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE = 20.0
AT_ONCE = {"http_stall", "deaf_socket", "forgetful_restart"}


def steps(count: int = 5, seconds: float = 0.01) -> dict[str, Any]:
    """A graph that tells its progress."""
    inputs = {"image": ["1", 0], "steps": count, "seconds_per_step": seconds, "preview": True}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "ProbeSleepSteps", "inputs": {**inputs, "nonce": uuid.uuid4().hex}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }


@dataclass
class Driver:
    """Drives one emulator."""

    url: str
    http: aiohttp.ClientSession

    async def set(self, **faults: float) -> None:
        async with self.http.post(f"{self.url}/emulator/faults", json=faults) as response:
            assert await response.json() == {name: value for name, value in faults.items() if name not in AT_ONCE}

    async def get(self, path: str) -> Any:
        async with self.http.get(self.url + path) as response:
            return await response.json()

    async def submit(self, graph: dict[str, Any]) -> str:
        body = {"prompt": graph, "client_id": "driver"}
        async with self.http.post(f"{self.url}/prompt", json=body) as response:
            assert response.status == 200
            return str((await response.json())["prompt_id"])

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        socket = await self.http.ws_connect(f"{self.url}/ws?clientId=driver")
        await socket.receive_json(timeout=PATIENCE)
        return socket

    async def ends(self, prompt_id: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while prompt_id not in (history := await self.get(f"/history/{prompt_id}")):  # noqa: ASYNC110 (polling is its point)
                await asyncio.sleep(0.02)
        return dict(history[prompt_id]["status"])


async def next_event(socket: aiohttp.ClientWebSocketResponse, kind: str) -> Any:
    while True:
        message = await socket.receive(timeout=PATIENCE)
        assert message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}
        if message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == kind:
            return json.loads(message.data)["data"]


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    async with serving(Settings(tmp_path)) as url, aiohttp.ClientSession() as http:
        yield Driver(url, http)


async def test_a_dead_worker_leaves_http_well_and_the_prompt_running_for_ever(driver: Driver) -> None:
    socket = await driver.connect()
    await driver.set(dead_worker=1)
    prompt_id = await driver.submit(steps())
    await next_event(socket, "executing")
    waiting = await driver.submit(steps())
    async with driver.http.post(f"{driver.url}/interrupt") as response:
        assert response.status == 200
    async with driver.http.post(f"{driver.url}/api/jobs/{prompt_id}/cancel") as response:
        assert await response.json() == {"cancelled": True}
    queue = await driver.get("/queue")
    assert [item[1] for item in queue["queue_running"]] == [prompt_id]
    assert [item[1] for item in queue["queue_pending"]] == [waiting]
    await socket.close()


async def test_a_silent_socket_stays_open_and_says_nothing(driver: Driver) -> None:
    socket = await driver.connect()
    await driver.set(silent_socket=1)
    assert (await driver.ends(await driver.submit(steps())))["completed"]
    with pytest.raises(TimeoutError):
        await socket.receive(timeout=0.2)
    assert not socket.closed
    await driver.set()
    await driver.submit(steps())
    await next_event(socket, "execution_start")
    await socket.close()


async def test_a_deaf_socket_hears_nothing_and_a_new_one_does(driver: Driver) -> None:
    socket = await driver.connect()
    await driver.set(deaf_socket=1)
    assert (await driver.ends(await driver.submit(steps())))["completed"]
    with pytest.raises(TimeoutError):
        await socket.receive(timeout=0.2)
    assert not socket.closed
    second = await driver.connect()
    await driver.submit(steps())
    await next_event(second, "execution_start")


async def test_a_stuck_reader_holds_everybodys_events_back(driver: Driver) -> None:
    socket = await driver.connect()
    await driver.set(stuck_reader=0.5)
    prompt_id = await driver.submit(steps())
    assert (await driver.ends(prompt_id))["completed"]
    await next_event(socket, "execution_success")
    assert await driver.get("/emulator/faults") == {}
    await socket.close()


async def test_a_restart_forgets_everything(driver: Driver) -> None:
    socket = await driver.connect()
    first = await driver.submit(steps())
    await driver.ends(first)
    running = await driver.submit(steps(100, 0.1))
    await next_event(socket, "execution_start")
    await driver.set(forgetful_restart=0.1)
    while (await socket.receive(timeout=PATIENCE)).type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
        pass
    async with asyncio.timeout(PATIENCE):
        while not await is_up(driver):  # noqa: ASYNC110 (polling is its point)
            await asyncio.sleep(0.02)
    assert await driver.get("/history") == {}
    assert await driver.get("/queue") == {"queue_running": [], "queue_pending": []}
    async with driver.http.get(f"{driver.url}/api/jobs/{running}") as response:
        assert response.status == 404
    assert (await driver.ends(await driver.submit(steps())))["completed"]


async def is_up(driver: Driver) -> bool:
    try:
        await driver.get("/system_stats")
    except aiohttp.ClientError:
        return False
    return True


async def test_out_of_memory_has_many_spellings_and_passes(driver: Driver) -> None:
    told = []
    for spelling in range(len(OUT_OF_MEMORY)):
        await driver.set(out_of_memory=spelling)
        status = await driver.ends(await driver.submit(steps()))
        assert status["messages"][-1][0] == "execution_error"
        told.append(status["messages"][-1][1]["exception_message"])
    assert len({*told}) == len(OUT_OF_MEMORY)
    assert (await driver.ends(await driver.submit(steps())))["completed"]


async def test_a_device_fault_is_there_for_every_later_prompt(driver: Driver) -> None:
    await driver.set(device_fault=1)
    for _ in range(2):
        status = await driver.ends(await driver.submit(steps()))
        assert "illegal memory access" in status["messages"][-1][1]["exception_message"]


async def test_partial_outputs_are_left_out_with_a_word(driver: Driver) -> None:
    await driver.set(partial_outputs=1)
    graph = {**steps(), "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}
    async with driver.http.post(f"{driver.url}/prompt", json={"prompt": graph, "client_id": "driver"}) as response:
        answer = await response.json()
    assert response.status == 200
    assert [*answer["node_errors"]] == ["3"]
    assert (await driver.ends(answer["prompt_id"]))["completed"]
    outputs = (await driver.get(f"/history/{answer['prompt_id']}"))[answer["prompt_id"]]["outputs"]
    assert [*outputs] == ["4"]


async def test_empty_outputs_are_a_success_without_a_file(driver: Driver) -> None:
    await driver.set(empty_outputs=1)
    prompt_id = await driver.submit(steps())
    assert (await driver.ends(prompt_id))["completed"]
    assert (await driver.get(f"/history/{prompt_id}"))[prompt_id]["outputs"] == {}


async def test_vanished_files_are_named_and_not_there(driver: Driver) -> None:
    await driver.set(vanished_files=1)
    prompt_id = await driver.submit(steps())
    await driver.ends(prompt_id)
    (image,) = (await driver.get(f"/history/{prompt_id}"))[prompt_id]["outputs"]["3"]["images"]
    async with driver.http.get(f"{driver.url}/view", params=image) as response:
        assert response.status == 404


async def test_a_clock_that_is_wrong_shows_in_every_time(driver: Driver) -> None:
    await driver.set(clock_jump=-86400)
    prompt_id = await driver.submit(steps())
    status = await driver.ends(prompt_id)
    job = await driver.get(f"/api/jobs/{prompt_id}")
    told = {message[1]["timestamp"] for message in status["messages"]} | {job["create_time"]}
    assert all(moment / 1000 < time.time() - 80000 for moment in told)


async def test_refused_sockets_are_answered_503(driver: Driver) -> None:
    await driver.set(refuse_ws=1)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await driver.connect()
    assert caught.value.status == 503
    assert "system" in await driver.get("/system_stats")


async def test_an_exit_in_mid_run_cuts_every_connection(driver: Driver) -> None:
    socket = await driver.connect()
    await driver.set(exit_mid_run=3)
    assert (await driver.ends(await driver.submit(steps(2))))["completed"]
    await driver.submit(steps())
    seen = []
    while (message := await socket.receive(timeout=PATIENCE)).type in {
        aiohttp.WSMsgType.TEXT,
        aiohttp.WSMsgType.BINARY,
    }:
        if message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == "progress":
            seen.append(json.loads(message.data)["data"]["value"])
    # What the second one told may have been on its way when every connection was cut.
    assert seen == [1, 2, 1, 2][: max(2, len(seen))]
    assert socket.close_code == 1006
    with pytest.raises(aiohttp.ClientConnectionError):
        await driver.get("/system_stats")


async def test_an_ignored_interrupt_is_answered_and_has_no_effect(driver: Driver, tmp_path: Path) -> None:
    socket = await driver.connect()
    await driver.set(ignored_interrupt=1)
    graph, gate = steps(), tmp_path / "gate"
    graph["4"] = {"class_type": "ProbeGate", "inputs": {"image": ["1", 0], "path": str(gate)}}
    graph["2"]["inputs"]["image"] = ["4", 0]
    prompt_id = await driver.submit(graph)
    while (await next_event(socket, "executing"))["node"] != "4":
        pass
    async with driver.http.post(f"{driver.url}/interrupt") as response:
        assert response.status == 200
    gate.touch()
    assert (await driver.ends(prompt_id))["completed"]
    await socket.close()


async def test_a_lost_interrupt_is_answered_and_the_prompt_runs_to_its_end(driver: Driver) -> None:
    await driver.set(lost_interrupt=600)
    prompt_id = await driver.submit(steps())
    async with asyncio.timeout(PATIENCE):
        while not (await driver.get("/queue"))["queue_running"]:  # noqa: ASYNC110 (the window has no event)
            await asyncio.sleep(0.02)
    async with driver.http.post(f"{driver.url}/api/jobs/{prompt_id}/cancel") as response:
        assert await response.json() == {"cancelled": True}
    await driver.set()
    assert (await driver.ends(prompt_id))["completed"]


async def test_slow_steps_take_longer_and_are_told(driver: Driver) -> None:
    began = asyncio.get_running_loop().time()
    await driver.set(slow_steps=0.1)
    socket = await driver.connect()
    prompt_id = await driver.submit(steps(3, 0.0))
    assert [(await next_event(socket, "progress"))["value"] for _ in range(3)] == [1, 2, 3]
    assert (await driver.ends(prompt_id))["completed"]
    assert asyncio.get_running_loop().time() - began >= 0.3
    await socket.close()


async def test_a_stalled_step_goes_on_after_its_time_and_only_once(driver: Driver) -> None:
    await driver.set(stall_in_step=0.3)
    socket = await driver.connect()
    loop = asyncio.get_running_loop()
    began = loop.time()
    prompt_id = await driver.submit(steps(2, 0.0))
    await next_event(socket, "progress")
    assert loop.time() - began >= 0.3
    assert (await driver.ends(prompt_id))["completed"]
    assert await driver.get("/emulator/faults") == {}
    await socket.close()


async def test_a_slow_start_opens_the_port_late(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with serving(Settings(tmp_path, faults={Fault.SLOW_START: 0.3})):
        assert loop.time() - began >= 0.3


async def test_an_unknown_fault_is_refused_with_the_known_ones(driver: Driver) -> None:
    async with driver.http.post(f"{driver.url}/emulator/faults", json={"nope": 1}) as response:
        assert response.status == 400
        assert "silent_socket" in (await response.json())["error"]


async def test_output_that_json_cannot_carry_ends_the_instance(driver: Driver) -> None:
    socket = await driver.connect()
    graph = steps()
    graph["2"] = {"class_type": "ProbeUI", "inputs": {"image": ["1", 0], "kind": "not_json", "nonce": "n"}}
    del graph["3"]
    await driver.submit(graph)
    async with asyncio.timeout(PATIENCE):
        while not socket.closed:
            await socket.receive()
    with pytest.raises(aiohttp.ClientConnectionError):
        await driver.get("/system_stats")


@pytest.mark.parametrize("kind", ["system_exit", "keyboard_interrupt"])
async def test_a_node_can_end_the_worker(driver: Driver, kind: str) -> None:
    graph = steps()
    graph["2"] = {"class_type": "ProbeRaise", "inputs": {"image": ["1", 0], "kind": kind, "delay": 0.0, "nonce": "n"}}
    socket = await driver.connect()
    prompt_id = await driver.submit(graph)
    await next_event(socket, "executing")
    await driver.submit(steps())
    assert [item[1] for item in (await driver.get("/queue"))["queue_running"]] == [prompt_id]
    await socket.close()


async def test_a_node_without_inputs_in_a_refused_part_ends_the_worker(driver: Driver) -> None:
    socket = await driver.connect()
    prompt_id = await driver.submit({**steps(), "9": {"class_type": "SaveImage"}})
    await next_event(socket, "execution_start")
    await driver.submit(steps())
    assert [item[1] for item in (await driver.get("/queue"))["queue_running"]] == [prompt_id]
    await socket.close()


async def test_a_model_is_loaded_once_and_again_after_it_was_freed(driver: Driver) -> None:
    graph = {
        "1": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "tiny-compact-2x.pth"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    await driver.ends(await driver.submit(graph))
    assert await driver.get("/emulator/resident") == ["tiny-compact-2x.pth"]
    async with driver.http.post(f"{driver.url}/free", json={"unload_models": True}) as response:
        assert response.status == 200
    async with asyncio.timeout(PATIENCE):
        while await driver.get("/emulator/resident"):  # noqa: ASYNC110 (the worker has no event for it)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("save", "key", "suffix"),
    [
        (
            {"class_type": "SaveVideo", "inputs": {"video": ["4", 0], "format": "auto", "codec": "auto"}},
            "images",
            ".mp4",
        ),
        (
            {
                "class_type": "VHS_VideoCombine",
                "inputs": {
                    "images": ["1", 0],
                    "frame_rate": 8,
                    "loop_count": 0,
                    "format": "image/gif",
                    "pingpong": False,
                    "save_output": True,
                },
            },
            "gifs",
            ".gif",
        ),
        ({"class_type": "SaveAudio", "inputs": {"audio": ["5", 0]}}, "audio", ".wav"),
    ],
)
async def test_other_kinds_of_output_can_be_fetched(driver: Driver, save: Any, key: str, suffix: str) -> None:
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 3, "color": 0}},
        "4": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8.0}},
        "5": {"class_type": "EmptyAudio", "inputs": {"duration": 0.1, "sample_rate": 8000}},
        "9": {**save, "inputs": {**save["inputs"], "filename_prefix": "kinds/x"}},
    }
    prompt_id = await driver.submit(graph)
    assert (await driver.ends(prompt_id))["completed"]
    shown = (await driver.get(f"/history/{prompt_id}"))[prompt_id]["outputs"]["9"][key][0]
    assert (shown["filename"], shown["subfolder"], shown["type"]) == (f"x_00001_{suffix}", "kinds", "output")
    asked = {name: shown[name] for name in ("filename", "subfolder", "type")}
    async with driver.http.get(f"{driver.url}/view", params=asked) as response:
        assert (response.status, len(await response.read()) > 40) == (200, True)
