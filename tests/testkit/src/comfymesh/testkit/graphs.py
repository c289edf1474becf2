"""Graphs that every emulator runs, each unlike any before it, so that no cache shortens them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

CHECKPOINT = "tiny-sd3-random.safetensors"

Graph = dict[str, dict[str, Any]]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One graph node."""
    return {"class_type": class_type, "inputs": inputs}


def text(graph: Graph) -> str:
    """A graph as callers send it."""
    return json.dumps(graph)


def picture(edge: int = 16, color: int = 0x336699) -> Graph:
    """Makes one small picture at once; it is at `1`, saved by `9`."""
    return {
        "1": node("EmptyImage", width=edge, height=edge, batch_size=1, color=color),
        "9": node("SaveImage", images=["1", 0], filename_prefix=f"picture-{uuid4().hex[:8]}"),
    }


def steps(count: int = 5, seconds: float = 0.02, **inputs: Any) -> Graph:
    """Takes `count` steps of `seconds` each in graph node `2`, then saves a picture."""
    probe = {"preview": False, "nonce": uuid4().hex, **inputs}
    return {
        "1": node("EmptyImage", width=16, height=16, batch_size=1, color=1),
        "2": node("ProbeSleepSteps", image=["1", 0], steps=count, seconds_per_step=seconds, **probe),
        "9": node("SaveImage", images=["2", 0], filename_prefix="steps"),
    }


@dataclass(frozen=True, slots=True)
class Gate:
    """Holds graphs for as long as a test likes, however long that takes. Closed as long as `path` is not there."""

    path: Path

    def open(self) -> None:
        """Let pass what comes, and what has come."""
        self.path.touch()

    def close(self) -> None:
        """Hold what comes from now on."""
        self.path.unlink()


def gated(gate: Gate, kind: str = "none") -> Graph:
    """Takes a few steps, executes until the gate is open, and then raises an exception of a kind."""
    graph = steps()
    graph["3"] = node("ProbeGate", image=["2", 0], path=str(gate.path), nonce=uuid4().hex)
    graph["4"] = node("ProbeRaise", image=["3", 0], kind=kind, delay=0.0, nonce=uuid4().hex)
    graph["9"]["inputs"]["images"] = ["4", 0]
    return graph


def two_pictures(count: int = 20, seconds: float = 0.05) -> Graph:
    """Saves a picture of more than 1 KiB by `9` at once, and another by `19` after `count` steps of `seconds` each."""
    return {
        "1": node("EmptyImage", width=1024, height=1024, batch_size=1, color=0x336699),
        "9": node("SaveImage", images=["1", 0], filename_prefix=f"first-{uuid4().hex[:8]}"),
        "12": steps(count, seconds)["2"],
        "19": node("SaveImage", images=["12", 0], filename_prefix="second"),
    }


def raising(kind: str) -> Graph:
    """Raises an exception of a kind in graph node `2`."""
    return {
        "1": node("EmptyImage", width=16, height=16, batch_size=1, color=1),
        "2": node("ProbeRaise", image=["1", 0], kind=kind, delay=0.0, nonce=uuid4().hex),
        "9": node("SaveImage", images=["2", 0], filename_prefix="raising"),
    }


def text_to_image(seed: int = 1, count: int = 6) -> Graph:
    """The classic; the sampler is `5`, the picture is saved by `9`."""
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "2": node("CLIPTextEncode", text=f"a lighthouse {uuid4().hex}", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="blurry", clip=["1", 1]),
        "4": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "5": node(
            "KSampler",
            seed=seed,
            steps=count,
            cfg=6.5,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
        ),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "9": node("SaveImage", images=["6", 0], filename_prefix="text-to-image"),
    }


def inverted(image: str = "photo.png") -> Graph:
    """Inverts a picture that is loaded by `1`; the result is saved by `9`."""
    return {
        "1": node("LoadImage", image=image),
        "2": node("ImageInvert", image=["1", 0]),
        "9": node("SaveImage", images=["2", 0], filename_prefix="inverted"),
    }


def every_kind() -> Graph:
    """Makes outputs of every kind: `10` text, `11` audio, `12` video, `13` a gif, `14` a temporary picture."""
    return {
        "1": node("EmptyImage", width=16, height=16, batch_size=3, color=0x884422),
        "2": node("EmptyAudio", duration=0.1, sample_rate=8000),
        "3": node("CreateVideo", images=["1", 0], fps=4.0),
        "10": node("PreviewAny", source="a text"),
        "11": node("SaveAudio", audio=["2", 0], filename_prefix="audio/one"),
        "12": node("SaveVideo", video=["3", 0], filename_prefix="video/one", format="auto", codec="auto"),
        "13": node(
            "VHS_VideoCombine",
            images=["1", 0],
            frame_rate=8.0,
            loop_count=0,
            filename_prefix="gif",
            format="image/gif",
            pingpong=False,
            save_output=True,
        ),
        "14": node("PreviewImage", images=["1", 0]),
    }
