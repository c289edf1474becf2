"""Nodes whose outputs are no still pictures, so that every kind of output can be collected from the emulator."""

from __future__ import annotations

import io
import struct
import wave
from typing import TYPE_CHECKING

from comfymesh.emulator.nodes.saving import HIDDEN, entry
from comfymesh.emulator.schema import NodeDefinition, choice, flag, integer, number, socket, text
from comfymesh.emulator.values import Audio, Images, Inputs, Outcome, Video

if TYPE_CHECKING:
    from comfymesh.emulator.node_run import NodeRun

_LONGEST_SECONDS = 60.0


def _empty_audio(_run: NodeRun, inputs: Inputs) -> Outcome:
    rate = inputs.integer("sample_rate", 44100)
    samples = bytes(2 * round(min(inputs.number("duration"), _LONGEST_SECONDS) * rate))
    return Outcome((Audio(samples, rate),))


def _save_audio(run: NodeRun, inputs: Inputs) -> Outcome:
    audio = inputs.get("audio", Audio)
    target = run.instance.folders.target(inputs.text("filename_prefix"))
    name = target.name(0, ".wav")
    with wave.open(str(target.directory / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.rate)
        file.writeframes(audio.samples)
    return Outcome((), {"audio": [entry(target, name)]})


def _create_video(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((Video(inputs.images("images"), inputs.number("fps")),))


def _save_video(run: NodeRun, inputs: Inputs) -> Outcome:
    target = run.instance.folders.target(inputs.text("filename_prefix"))
    name = target.name(0, ".mp4")
    (target.directory / name).write_bytes(boxed_pictures(inputs.get("video", Video).pictures))
    return Outcome((), {"images": [entry(target, name)], "animated": [True]})


def boxed_pictures(pictures: Images) -> bytes:
    """Returns JPEG pictures inside the outer boxes of an MP4 file: recognised as one, shown by no player."""
    content = io.BytesIO()
    for picture in pictures:
        picture.save(content, "JPEG")
    kind = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp41")
    return kind + struct.pack(">I4s", 8 + content.tell(), b"mdat") + content.getvalue()


def _combine_video(run: NodeRun, inputs: Inputs) -> Outcome:
    pictures = inputs.images("images")
    folder = "output" if inputs.flag("save_output") else "temp"
    target = run.instance.folders.target(inputs.text("filename_prefix"), folder)
    name = target.name(0, ".gif")
    pictures[0].save(
        target.directory / name,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / inputs.number("frame_rate")),
        loop=inputs.integer("loop_count"),
    )
    shown = {**entry(target, name, folder), "format": "image/gif", "frame_rate": inputs.number("frame_rate")}
    return Outcome((), {"gifs": [shown]})


AUDIO_VIDEO_NODES = (
    NodeDefinition(
        "EmptyAudio",
        _empty_audio,
        {"duration": number(60.0, 0.0, 1e6), "sample_rate": integer(44100, 1, 192000, None)},
        outputs=("AUDIO",),
        display_name="Empty Audio",
        category="audio",
        module="comfy_extras.nodes_audio",
    ),
    NodeDefinition(
        "SaveAudio",
        _save_audio,
        {"audio": socket("AUDIO"), "filename_prefix": text("audio/ComfyUI")},
        hidden=HIDDEN,
        display_name="Save Audio",
        category="audio",
        module="comfy_extras.nodes_audio",
        output_node=True,
    ),
    NodeDefinition(
        "CreateVideo",
        _create_video,
        {"images": socket("IMAGE"), "fps": number(30.0, 1.0, 120.0, 1.0)},
        {"audio": socket("AUDIO")},
        outputs=("VIDEO",),
        display_name="Create Video",
        category="video",
        module="comfy_extras.nodes_video",
    ),
    NodeDefinition(
        "SaveVideo",
        _save_video,
        {
            "video": socket("VIDEO"),
            "filename_prefix": text("video/ComfyUI"),
            "format": choice("auto", "mp4"),
            "codec": choice("auto", "h264"),
        },
        hidden=HIDDEN,
        display_name="Save Video",
        category="video",
        module="comfy_extras.nodes_video",
        output_node=True,
    ),
    NodeDefinition(
        "VHS_VideoCombine",
        _combine_video,
        {
            "images": socket("IMAGE"),
            "frame_rate": number(8.0, 1.0, 120.0, 1.0),
            "loop_count": integer(0, 0, 100),
            "filename_prefix": text("AnimateDiff"),
            "format": choice("image/gif"),
            "pingpong": flag(default=False),
            "save_output": flag(default=True),
        },
        hidden=HIDDEN,
        display_name="Video Combine",
        category="video",
        module="custom_nodes.ComfyUI-VideoHelperSuite",
        output_node=True,
    ),
)
