"""Graphs in API format."""

from __future__ import annotations

import uuid
from typing import Any


def picture(color: int = 0, prefix: str = "made") -> dict[str, Any]:
    """Makes one picture at once, another each time."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": color},
            "_meta": {"title": "Empty"},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": f"{prefix}-{uuid.uuid4().hex[:8]}"},
            "_meta": {"title": "Save"},
        },
    }


def steps(count: int, seconds: float) -> dict[str, Any]:
    """Takes its time, step by step, with previews."""
    graph = picture(uuid.uuid4().int & 0xFFFFFF)
    graph["3"] = {
        "class_type": "ProbeSleepSteps",
        "inputs": {
            "image": ["1", 0],
            "steps": count,
            "seconds_per_step": seconds,
            "preview": True,
            "nonce": uuid.uuid4().hex,
        },
    }
    graph["2"]["inputs"]["images"] = ["3", 0]
    return graph


def loaded(image: str) -> dict[str, Any]:
    """Inverts an uploaded picture."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}, "_meta": {"title": "Load"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "Invert"}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": uuid.uuid4().hex},
            "_meta": {"title": "Save"},
        },
    }
