"""Uploads, downloads and names of outputs (protocol notes, section 8)."""

from __future__ import annotations

import json
import uuid
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, MakeGraph

INPUTS = Path(__file__).parents[2] / "data" / "comfyui" / "inputs"
PICTURE = (INPUTS / "probe-input.png").read_bytes()
MASK = (INPUTS / "probe-mask.png").read_bytes()


@pytest.fixture
def name() -> str:
    return f"up-{uuid.uuid4().hex}.png"


async def test_an_upload_is_stored_under_its_name(comfyui: Client, name: str) -> None:
    assert await comfyui.upload(name, PICTURE) == (200, {"name": name, "subfolder": "", "type": "input"})
    status, content, headers = await comfyui.view(filename=name, type="input")
    assert (status, content) == (200, PICTURE)
    assert headers["Content-Type"] == "image/png"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == f'filename="{name}"'


async def test_the_same_content_keeps_the_name_and_other_content_gets_another(comfyui: Client, name: str) -> None:
    await comfyui.upload(name, PICTURE)
    assert (await comfyui.upload(name, PICTURE))[1]["name"] == name
    assert (await comfyui.upload(name, MASK))[1]["name"] == name.replace(".png", " (1).png")
    assert (await comfyui.upload(name, MASK, overwrite="true"))[1]["name"] == name
    assert (await comfyui.view(filename=name, type="input"))[1] == MASK


async def test_uploads_go_into_subfolders_and_other_folders(comfyui: Client, name: str) -> None:
    answer = {"name": name, "subfolder": "sub/deep", "type": "input"}
    assert await comfyui.upload(name, PICTURE, subfolder="sub/deep") == (200, answer)
    assert (await comfyui.view(filename=name, type="input", subfolder="sub/deep"))[0] == 200
    for folder in ("temp", "output"):
        assert (await comfyui.upload(name, PICTURE, type=folder))[1]["type"] == folder


@pytest.mark.parametrize(
    ("filename", "fields", "status"),
    [
        ("up.png", {"subfolder": "../../x"}, 400),
        ("../../evil.png", {}, 400),
        ("/abs/evil.png", {}, 500),
        ("up.png", {"type": "bogus"}, 500),
    ],
)
async def test_an_upload_cannot_leave_its_folder(
    comfyui: Client, filename: str, fields: dict[str, str], status: int
) -> None:
    assert (await comfyui.upload(filename, PICTURE, **fields))[0] == status


async def test_any_bytes_are_accepted(comfyui: Client) -> None:
    assert (await comfyui.upload(f"{uuid.uuid4().hex}.txt", b"hello"))[0] == 200
    assert (await comfyui.upload(f"{uuid.uuid4().hex}.png", b""))[0] == 200


async def test_an_upload_without_a_file_is_refused(comfyui: Client) -> None:
    async with comfyui.http.post(f"{comfyui.url}/upload/image", data={"foo": "1"}) as response:
        assert response.status == 400


async def test_a_mask_becomes_the_alpha_of_a_copy_of_the_original(comfyui: Client, name: str) -> None:
    await comfyui.upload(name, PICTURE)
    reference = json.dumps({"filename": name, "type": "input", "subfolder": ""})
    masked = f"masked-{name}"
    assert (await comfyui.upload(masked, MASK, path="/upload/mask", original_ref=reference))[0] == 200
    _, content, _ = await comfyui.view(filename=masked, type="input")
    picture = Image.open(BytesIO(content))
    alpha = Image.open(BytesIO(MASK)).convert("RGBA").getchannel("A").resize(picture.size)
    assert picture.getchannel("A").tobytes() == alpha.tobytes()


async def test_a_mask_over_nothing_answers_200_and_writes_nothing(comfyui: Client, name: str) -> None:
    reference = json.dumps({"filename": "no-such-file.png", "type": "input"})
    status, answer = await comfyui.upload(name, MASK, path="/upload/mask", original_ref=reference)
    assert (status, answer["name"]) == (200, name)
    assert (await comfyui.view(filename=name, type="input"))[0] == 404


async def test_a_mask_without_a_reference_is_answered_500(comfyui: Client, name: str) -> None:
    assert (await comfyui.upload(name, MASK, path="/upload/mask"))[0] == 500


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"filename": "../NAME", "type": "input"}, 400),
        ({"filename": "/etc/hostname"}, 400),
        ({"filename": "a..b.png", "type": "input"}, 400),
        ({"filename": ""}, 400),
        ({"filename": "NAME", "type": "bogus"}, 400),
        ({"filename": "NAME", "type": "input", "subfolder": "../output"}, 403),
        ({"filename": "NAME", "type": "input", "subfolder": "/tmp"}, 403),
        ({"filename": "NAME", "type": "input", "subfolder": "nope"}, 404),
        ({"filename": "NAME"}, 404),
        ({}, 404),
        ({"filename": "a/b/NAME", "type": "input"}, 200),
        ({"filename": "NAME [input]"}, 200),
    ],
)
async def test_a_view_stays_inside_its_folder(comfyui: Client, name: str, params: dict[str, str], status: int) -> None:
    await comfyui.upload(name, PICTURE)
    asked = {key: value.replace("NAME", name) for key, value in params.items()}
    assert (await comfyui.view(**asked))[0] == status


async def test_a_view_can_be_a_range_or_only_headers(comfyui: Client, name: str) -> None:
    await comfyui.upload(name, PICTURE)
    address, params = f"{comfyui.url}/view", {"filename": name, "type": "input"}
    async with comfyui.http.get(address, params=params, headers={"Range": "bytes=0-7"}) as response:
        assert (response.status, await response.read()) == (206, PICTURE[:8])
    async with comfyui.http.head(address, params=params) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(PICTURE)))
        assert "ETag" in response.headers


@pytest.mark.parametrize(
    ("params", "kind", "mode"),
    [
        ({"preview": "webp;50"}, "image/webp", None),
        ({"preview": "jpeg"}, "image/jpeg", "RGB"),
        ({"channel": "rgb"}, "image/png", "RGB"),
        ({"channel": "a"}, "image/png", "RGBA"),
    ],
)
async def test_a_view_can_be_another_encoding(
    comfyui: Client, name: str, params: dict[str, str], kind: str, mode: str | None
) -> None:
    await comfyui.upload(name, MASK)
    status, content, headers = await comfyui.view(filename=name, type="input", **params)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert mode in {None, Image.open(BytesIO(content)).mode}


async def test_a_page_is_only_given_as_an_attachment(comfyui: Client) -> None:
    page = f"{uuid.uuid4().hex}.html"
    await comfyui.upload(page, b"<script></script>")
    status, _, headers = await comfyui.view(filename=page, type="input")
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert headers["Content-Disposition"] == f'attachment; filename="{page}"'
    assert (await comfyui.view(filename=page, type="input", preview="webp"))[0] == 500


async def test_a_batch_is_numbered_and_the_next_one_counts_on(comfyui: Client, fresh: MakeGraph) -> None:
    graph = fresh("06-batch-save-and-preview.json")
    prefix = graph["2"]["inputs"]["filename_prefix"].removeprefix("mesh/")
    first = (await comfyui.run(graph)).entry["outputs"]["2"]["images"]
    graph["1"]["inputs"]["color"] ^= 1
    second = (await comfyui.run(graph)).entry["outputs"]["2"]["images"]
    names = [f"{prefix}_{number:05}_.png" for number in range(1, 7)]
    assert [image["filename"] for image in first + second] == names
    assert {image["subfolder"] for image in first} == {"mesh"}


async def test_a_saved_picture_carries_its_graph(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    run = await comfyui.run(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
    status, content, _ = await comfyui.view(**run.entry["outputs"]["2"]["images"][0])
    picture = Image.open(BytesIO(content))
    assert (status, picture.size, picture.mode) == (200, (64, 64), "RGB")
    assert json.loads(picture.info["prompt"])["1"]["inputs"] == graph["1"]["inputs"]
    assert json.loads(picture.info["workflow"]) == {"id": "w"}


async def test_an_empty_image_has_the_colour_that_was_asked_for(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    graph["1"]["inputs"]["color"] = 0x1020F0
    run = await comfyui.run(graph)
    _, content, _ = await comfyui.view(**run.entry["outputs"]["2"]["images"][0])
    assert Image.open(BytesIO(content)).getpixel((5, 5)) == (0x10, 0x20, 0xF0)


async def test_an_uploaded_picture_is_scaled_and_saved(comfyui: Client, fresh: MakeGraph) -> None:
    await comfyui.upload("probe-input.png", PICTURE, overwrite="true")
    run = await comfyui.run(fresh("02-load-scale-save.json"))
    _, content, _ = await comfyui.view(**run.entry["outputs"]["3"]["images"][0])
    assert Image.open(BytesIO(content)).size == (48, 32)


async def test_leaving_the_output_folder_is_an_error_of_the_run(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    graph["2"]["inputs"]["filename_prefix"] = "../../outside"
    run = await comfyui.run(graph)
    assert run.of("execution_error")[0].data["node_id"] == "2"


async def test_a_new_upload_is_offered_at_once(comfyui: Client, name: str) -> None:
    await comfyui.upload(name, PICTURE)
    info = await comfyui.get("/object_info/LoadImage")
    assert name in info["LoadImage"]["input"]["required"]["image"][0]
