"""The gateway as its callers, and those who mean it ill, meet it."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from PIL import Image
from tests.integration.gateway import graphs
from tests.integration.gateway.conftest import PATIENCE, answers, calling

from comfymesh.testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.gateway.conftest import Caller, Gateways

pytestmark = pytest.mark.asyncio(loop_scope="session")


def png(color: str) -> bytes:
    written = io.BytesIO()
    Image.new("RGBA", (8, 8), color).save(written, "PNG")
    return written.getvalue()


def form(content: bytes, name: str, **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(fields)
    data.add_field("image", io.BytesIO(content), filename=name, content_type="image/png")
    return data


def bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


# What is stored where


async def test_two_gateways_tell_the_same_and_any_of_them_the_events(gateways: Gateways) -> None:
    prompt_id = str(uuid.uuid4())
    async with calling(gateways.open) as first, calling(gateways.other) as second:
        async with second.http.ws_connect(f"{second.address}/ws?clientId={prompt_id}") as events:
            assert await first.submit(graphs.picture(), prompt_id=prompt_id, client_id=prompt_id) == prompt_id
            kinds = await second.told(events, prompt_id)
        assert [kind for kind in kinds if kind.startswith("execution")] == [
            "execution_start", "execution_cached", "execution_success",
        ]  # fmt: skip
        assert await first.entry(prompt_id) == await second.entry(prompt_id)


async def test_the_same_prompt_sent_again_is_the_same_and_another_of_its_id_is_refused(gateways: Gateways) -> None:
    prompt_id, graph = str(uuid.uuid4()), graphs.picture()
    async with calling(gateways.open) as caller:
        body = {"prompt": graph, "prompt_id": prompt_id, "number": 7}
        first, again = await caller.post("/prompt", body), await caller.post("/prompt", body)
        assert first == again == (200, {"prompt_id": prompt_id, "number": 7, "node_errors": {}})
        status, answer = await caller.post("/prompt", {**body, "prompt": graphs.picture()})
        assert status in {400, 409}
        assert answer["error"]["type"] in {"prompt_id_taken", "request_id_reused"}
        await caller.entry(prompt_id)  # The next one finds nothing under way.


async def test_a_gateway_that_is_killed_in_the_middle_goes_on_with_the_prompt(gateways: Gateways) -> None:
    client_id = uuid.uuid4().hex
    async with calling(gateways.other) as caller:
        url = f"{caller.address}/ws?clientId={client_id}"
        async with caller.http.ws_connect(url) as events:
            prompt_id = await caller.submit(graphs.steps(900, 0.1), client_id=client_id)
            while json.loads((await events.receive(timeout=PATIENCE)).data)["type"] != "progress":
                pass
            await until(lambda: is_running(caller, prompt_id), "a prompt of which the log says that it runs")
            os.kill(gateways.processes.pid("gateway-other"), signal.SIGKILL)
            while (message := await events.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE}
        await answers(gateways.other)
        async with caller.http.ws_connect(url) as events:
            status = await events.receive_json(timeout=PATIENCE)
            assert status["data"]["status"]["exec_info"]["queue_remaining"] == 1
            node = await events.receive_json(timeout=PATIENCE)
            while node["type"] != "executing":
                node = await events.receive_json(timeout=PATIENCE)
            assert node["data"] == {"node": "3"}
            assert await caller.post("/interrupt", {"prompt_id": prompt_id}) == (200, "")
            kinds = await caller.told(events, prompt_id)
        assert kinds[-3:] == ["execution_interrupted", "status", "executing"]
        assert "execution_start" not in kinds
        assert (await caller.entry(prompt_id))["status"]["messages"][-1][0] == "execution_interrupted"


async def is_running(caller: Caller, prompt_id: str) -> bool:
    return bool((await caller.get(f"/api/jobs/{prompt_id}"))["status"] == "in_progress")


async def test_previews_go_to_who_asks_for_them(gateways: Gateways) -> None:
    client_id = uuid.uuid4().hex
    address = f"{gateways.open}/ws?clientId={client_id}"
    async with calling(gateways.open) as caller, caller.http.ws_connect(address) as events:
        await events.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        asked = {"client_id": client_id, "extra_data": {"preview_method": "auto"}}
        prompt_id = await caller.submit(graphs.steps(600, 0.1), **asked)
        while (message := await events.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert int.from_bytes(message.data[:4], "big") == 4
        await until(lambda: is_running(caller, prompt_id), "a prompt that can be stopped")
        assert await caller.post("/interrupt", {"prompt_id": prompt_id}) == (200, "")
        await caller.told(events, prompt_id)
        silent = await caller.told(events, await caller.submit(graphs.steps(12, 0.1), client_id=client_id))
        assert not any(kind.startswith("binary") for kind in silent)


# Files


async def test_an_output_is_served_whole_and_in_ranges(gateways: Gateways) -> None:
    async with calling(gateways.open) as caller:
        entry = await caller.entry(await caller.submit(graphs.picture()))
        (file,) = entry["outputs"]["2"]["images"]
        async with caller.http.get(f"{caller.address}/view", params=file) as response:
            whole, etag = await response.read(), response.headers["ETag"]
            assert response.headers["Content-Type"] == "image/png"
        for header, part in (("bytes=8-15", whole[8:16]), ("bytes=-4", whole[-4:]), ("bytes=4-", whole[4:])):
            async with caller.http.get(f"{caller.address}/view", params=file, headers={"Range": header}) as response:
                assert (response.status, await response.read()) == (206, part)
        beyond = {"Range": f"bytes={len(whole)}-"}
        async with caller.http.get(f"{caller.address}/view", params=file, headers=beyond) as response:
            assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
        async with caller.http.get(f"{caller.address}/view", params=file, headers={"If-None-Match": etag}) as response:
            assert response.status == 304


async def test_an_upload_keeps_its_name_for_its_content_and_is_found_by_the_plain_one(gateways: Gateways) -> None:
    name = f"{uuid.uuid4().hex}.png"
    async with calling(gateways.open) as caller:
        told = []
        for color in ("red", "blue", "red"):
            async with caller.http.post(f"{caller.address}/upload/image", data=form(png(color), name)) as response:
                told.append(await response.json())
        assert told[0] == told[2] != told[1]
        async with caller.http.get(f"{caller.address}/view", params={"filename": name, "type": "input"}) as response:
            assert Image.open(io.BytesIO(await response.read())).getpixel((0, 0)) == (255, 0, 0, 255)
        entry = await caller.entry(await caller.submit(graphs.loaded(told[1]["name"])))
        assert entry["prompt"][2]["1"]["inputs"]["image"] == told[1]["name"]


async def test_a_mask_becomes_the_alpha_of_its_original(gateways: Gateways) -> None:
    async with calling(gateways.open) as caller:
        async with caller.http.post(f"{caller.address}/upload/image", data=form(png("#ff0000ff"), "o.png")) as response:
            original = json.dumps({**await response.json(), "filename": (await response.json())["name"]})
        mask = form(png("#00000040"), "mask.png", original_ref=original)
        async with caller.http.post(f"{caller.address}/upload/mask", data=mask) as response:
            stored = await response.json()
        wanted = {"filename": stored["name"], "type": "input"}
        async with caller.http.get(f"{caller.address}/view", params=wanted) as response:
            assert Image.open(io.BytesIO(await response.read())).getpixel((0, 0)) == (255, 0, 0, 64)


# Who may what


async def test_without_a_key_or_with_a_wrong_one_nothing_is_served(gateways: Gateways) -> None:
    async with aiohttp.ClientSession() as http:
        for headers in ({}, bearer("wrong"), {"X-API-Key": "a\tb"}, {"Authorization": "Basic !!"}):
            for path in ("/prompt", "/object_info", "/history", "/ws?clientId=a", "/view?filename=a_0.png&type=input"):
                async with http.get(gateways.keyed + path, headers=headers) as response:
                    assert response.status in {401, 404}, (path, await response.text())
                    assert response.status == 401 or path.startswith("/view")
        async with http.get(f"{gateways.keyed}/queue?token={gateways.keys[0]}") as response:
            assert response.status == 200


async def test_what_is_anothers_does_not_exist(gateways: Gateways) -> None:
    mine, theirs = (bearer(key) for key in gateways.keys)
    client_id = uuid.uuid4().hex
    async with calling(gateways.keyed, mine) as owner, calling(gateways.keyed, theirs) as stranger:
        async with stranger.http.ws_connect(f"{stranger.address}/ws?clientId={client_id}") as events:
            prompt_id = await owner.submit(graphs.picture(), client_id=client_id)
            entry = await owner.entry(prompt_id)
            greeting = await events.receive_json(timeout=PATIENCE)
            assert greeting["data"]["status"]["exec_info"]["queue_remaining"] == 0
            own = await stranger.submit(graphs.picture(), client_id=client_id)
            frames = json.dumps(await told_of(stranger, events, own))
        assert prompt_id not in frames
        (file,) = entry["outputs"]["2"]["images"]
        assert await owner.status("/view", **file) == 200
        assert await stranger.status("/view", **file) == 404
        assert await stranger.get(f"/history/{prompt_id}") == {}
        assert prompt_id not in await stranger.get("/history")
        assert await stranger.status(f"/api/jobs/{prompt_id}") == 404
        assert await stranger.post(f"/api/jobs/{prompt_id}/cancel", {}) == (200, {"cancelled": False})
        async with owner.http.post(f"{owner.address}/upload/image", data=form(png("green"), "mine.png")) as response:
            name = (await response.json())["name"]
        assert await stranger.status("/view", filename=name, type="input") == 404
        status, answer = await stranger.post("/prompt", {"prompt": graphs.loaded(name)})
        assert (status, answer["node_errors"]["1"]["errors"][0]["type"]) == (400, "custom_validation_failed")


async def told_of(caller: Any, events: aiohttp.ClientWebSocketResponse, prompt_id: str) -> list[Any]:
    frames: list[Any] = []
    while not frames or frames[-1].get("data") != {"node": None, "prompt_id": prompt_id}:
        frames.append(await events.receive_json(timeout=PATIENCE))
    return frames


async def test_tasks_that_came_another_way_are_neither_shown_nor_stopped(gateways: Gateways) -> None:
    task = await gateways.mesh.client.create(graphs.steps(900, 0.1))
    async with calling(gateways.open) as caller:
        assert await caller.post("/interrupt", {}) == (200, "")
        assert await caller.post("/queue", {"clear": True}) == (200, "")
        assert await caller.get("/queue") == {"queue_running": [], "queue_pending": []}
    assert (await gateways.mesh.client.cancel(task)).state in {"CANCELLING", "CANCELLED"}


# What means ill


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"filename": "../../etc/passwd"}, 400),
        ({"filename": "/etc/passwd"}, 400),
        ({"filename": "x.png", "subfolder": "../.."}, 403),
        ({"filename": "x.png", "subfolder": "/etc"}, 403),
        ({"filename": "x.png", "type": "models"}, 400),
        ({"filename": f"x_{'0' * 32}-0.png"}, 404),
        ({"filename": f"x_{'0' * 32}-99999999999.png"}, 404),
        ({"filename": f"{'f' * 64}.png", "type": "input"}, 404),
        ({"filename": "a\r\nSet-Cookie: a=b", "type": "input"}, 404),
        ({"filename": "a\x00b.png", "type": "input"}, 404),
        ({"filename": "%2e%2e%2fx", "type": "input"}, 404),
        ({"filename": "x" * 4000, "type": "input"}, 404),
    ],
)
async def test_names_lead_nowhere_else(gateways: Gateways, params: dict[str, str], status: int) -> None:
    async with calling(gateways.open) as caller, caller.http.get(f"{caller.address}/view", params=params) as response:
        assert response.status == status
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[" * 200_000, 500),
        ('{"prompt": ' * 50_000, 500),
        (json.dumps({"prompt": {"1": {"class_type": "SaveImage", "inputs": {"a": "\ud800"}}}}), 400),
        ('{"prompt": {"1": {"class_type": "EmptyImage", "inputs": {"width": 1e999}}}}', 400),
        ('{"prompt": {}, "number": 1' + "0" * 5000 + "}", 500),
        (json.dumps({"prompt": {}, "client_id": {"a": ["b"] * 1000}}), 400),
        (json.dumps({"prompt": {str(each): {"class_type": "X" * 50, "inputs": {}} for each in range(8000)}}), 400),
        (b'{"prompt": "\xff"}', 500),
        (" " * 3_000_000, 413),
    ],
    ids=["brackets", "nested", "surrogate", "infinity", "digits", "client", "many", "latin", "large"],
)
async def test_bodies_of_ill_will_are_answered(gateways: Gateways, body: Any, status: int) -> None:
    async with calling(gateways.open) as caller:
        assert (await caller.post("/prompt", body))[0] == status
        assert await caller.status("/prompt") == 200


async def test_a_chain_of_many_nodes_is_judged(gateways: Gateways) -> None:
    graph: dict[str, Any] = {"0": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1}}}
    for each in range(1, 3000):
        graph[str(each)] = {"class_type": "ImageInvert", "inputs": {"image": [str(each - 1), 0]}}
    async with calling(gateways.open) as caller:
        status, answer = await caller.post("/prompt", {"prompt": graph})
        assert (status, answer["error"]["type"]) == (400, "prompt_no_outputs")


async def test_an_upload_that_is_too_large_is_refused(gateways: Gateways) -> None:
    async with calling(gateways.open) as caller:
        data = form(bytes(5_000_000), "large.png")
        async with caller.http.post(f"{caller.address}/upload/image", data=data) as response:
            assert response.status == 413


async def test_a_picture_that_is_a_bomb_is_not_opened(gateways: Gateways) -> None:
    written = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(written, "PNG")
    async with calling(gateways.open) as caller:
        data = form(written.getvalue(), "bomb.png")
        async with caller.http.post(f"{caller.address}/upload/image", data=data) as response:
            name = (await response.json())["name"]
        wanted = {"filename": name, "type": "input", "preview": "webp;50"}
        async with caller.http.get(f"{caller.address}/view", params=wanted) as response:
            assert (response.status, (await response.json())["error"]["type"]) == (400, "picture_unusable")


async def test_sockets_are_bounded_in_number_and_in_what_they_say(gateways: Gateways) -> None:
    async with calling(gateways.other) as caller:
        url = f"{caller.address}/ws?clientId="
        sockets = [await caller.http.ws_connect(f"{url}{each}") for each in range(8)]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await caller.http.ws_connect(f"{url}more")
        await sockets[0].send_str("x" * 100_000)
        for _ in range(1_100):
            await sockets[1].send_str("{}")
        for flooding in sockets[:2]:
            while (message := await flooding.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        for each in sockets:
            await each.close()


async def test_a_reader_that_does_not_read_stops_nobody(gateways: Gateways) -> None:
    """ComfyUI has one list of what is to be sent, and awaits each socket (protocol notes, section 13.3)."""
    host, _, port = gateways.open.removeprefix("http://").partition(":")
    stuck = socket.create_connection((host, int(port)))
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    head = "GET /ws?clientId=stuck HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    stuck.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
    try:
        async with calling(gateways.open) as caller:
            for number in range(20):
                await caller.submit(graphs.picture(number), client_id="stuck")
            async with caller.http.ws_connect(f"{caller.address}/ws?clientId=quick") as events:
                await caller.told(events, await caller.submit(graphs.picture(), client_id="quick"))
    finally:
        stuck.close()
