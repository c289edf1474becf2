"""The graphs that are measured, in ComfyUI's API format."""

from __future__ import annotations

import itertools
import time
from uuid import uuid4

from comfymesh.stack.graphs import Graph, graph_node, text_to_image

# Begins elsewhere in each run, so that a server which outlives a run has nothing of the next one in its cache.
_numbers = itertools.count(time.time_ns() // 1000)
_COLORS = 0x1000000
_LASTING_STEP = 0.1
_BLURRED = 64
_BLUR_SECONDS = 0.01


def picture() -> Graph:
    """A small picture of a color that was not used before, so that nothing of it is cached.

    It is saved into a folder of its own. ComfyUI lists the whole folder at each save, so that a direct client which
    saves thousands of pictures into one would slow ComfyUI down and make the mesh, which keeps tasks apart, look good.
    """
    color = next(_numbers) * 7919 % _COLORS
    return {
        "1": graph_node("EmptyImage", width=64, height=64, batch_size=1, color=color),
        "2": graph_node("SaveImage", images=["1", 0], filename_prefix=f"benchmark/{uuid4().hex}/picture"),
    }


def nothing() -> Graph:
    """The same text each time: cached, so that ComfyUI has nothing to do."""
    return {"1": graph_node("PreviewAny", source="benchmark")}


def steps(checkpoint: str, count: int, size: int) -> Graph:
    """A picture sampled in `count` steps."""
    return text_to_image("a lighthouse", next(_numbers), count, prefix="benchmark", checkpoint=checkpoint, size=size)


def lasting(seconds: float, name: str) -> Graph:
    """A picture that the emulator needs `seconds` for, saved under a name. No real ComfyUI has such a graph node."""
    steps = max(1, round(seconds / _LASTING_STEP))
    probe = {"steps": steps, "seconds_per_step": seconds / steps, "preview": False, "nonce": uuid4().hex}
    return {
        "1": graph_node("EmptyImage", width=64, height=64, batch_size=1, color=next(_numbers) % _COLORS),
        "2": graph_node("ProbeSleepSteps", image=["1", 0], **probe),
        "3": graph_node("SaveImage", images=["2", 0], filename_prefix=name),
    }


def working(seconds: float) -> Graph:
    """A picture that costs a real ComfyUI on a CPU about `seconds`, without any model: it is blurred over and over."""
    graph = picture()
    graph["1"]["inputs"] |= {"width": _BLURRED, "height": _BLURRED}
    last = "1"
    for number in range(max(1, round(seconds / _BLUR_SECONDS))):
        graph[f"b{number}"] = graph_node("ImageBlur", image=[last, 0], blur_radius=10, sigma=4.0)
        last = f"b{number}"
    graph["2"]["inputs"]["images"] = [last, 0]
    return graph
