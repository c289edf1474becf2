"""Graphs that more than one tool runs, in ComfyUI's API format."""

from __future__ import annotations

from typing import Any

CHECKPOINT = "tiny-sd3-random.safetensors"
"""A model that every emulator has."""

Graph = dict[str, Any]


def graph_node(class_type: str, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401  # inputs are JSON
    """One graph node."""
    return {"class_type": class_type, "inputs": inputs}


def text_to_image(
    text: str, seed: int, steps: int, *, prefix: str, checkpoint: str = CHECKPOINT, size: int = 64
) -> Graph:
    """A picture of `size` pixels a side from a text; the sampler is `4`, the picture is saved by `6`."""
    return {
        "1": graph_node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": graph_node("CLIPTextEncode", text=text, clip=["1", 1]),
        "3": graph_node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "4": graph_node(
            "KSampler",
            seed=seed,
            steps=steps,
            cfg=4.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            model=["1", 0],
            positive=["2", 0],
            negative=["2", 0],
            latent_image=["3", 0],
        ),
        "5": graph_node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": graph_node("SaveImage", images=["5", 0], filename_prefix=prefix),
    }
