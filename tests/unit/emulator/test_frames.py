"""Binary messages have the recorded layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfymesh.comfyui.frames import preview_frame, preview_frame_with_metadata, text_frame

TRACES = Path(__file__).parents[2] / "data" / "comfyui" / "traces"


def recorded(trace: str) -> dict[str, Any]:
    lines = map(json.loads, (TRACES / f"{trace}.jsonl").read_text().splitlines())
    return next(line for line in lines if line["kind"] == "ws_binary")


def test_a_plain_preview_begins_as_recorded() -> None:
    line = recorded("02-success-sampling-old-previews")
    jpeg = bytes.fromhex(line["header"]["payload_first_hex"])
    assert preview_frame(jpeg)[:16].hex() == line["first_hex"]


def test_a_preview_with_metadata_begins_as_recorded() -> None:
    line = recorded("01-success-sampling-new-previews")
    header = line["header"]
    metadata = {key: value for key, value in header["metadata"].items() if key != "image_type"}
    frame = preview_frame_with_metadata(b"jpeg", metadata)
    length = int.from_bytes(frame[4:8], "big")
    assert frame[:4].hex() == line["first_hex"][:8]
    assert json.loads(frame[8 : 8 + length]) == header["metadata"]
    assert frame[8 + length :] == b"jpeg"


def test_text_is_written_as_recorded() -> None:
    line = recorded("18-async-node-and-text-progress")
    assert text_frame("2", "step 1").hex() == line["first_hex"]
