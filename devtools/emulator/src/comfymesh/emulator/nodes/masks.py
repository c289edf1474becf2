"""Nodes that make and change masks, done for real with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageFilter, ImageOps

from comfymesh.emulator.nodes.images import LARGEST_EDGE
from comfymesh.emulator.schema import NodeDefinition, choice, flag, integer, number, socket
from comfymesh.emulator.values import Inputs, Outcome

if TYPE_CHECKING:
    from comfymesh.emulator.node_run import NodeRun

_MODULE = "comfy_extras.nodes_mask"
_CATEGORY = "image/mask"


def _solid_mask(_run: NodeRun, inputs: Inputs) -> Outcome:
    size = (inputs.integer("width"), inputs.integer("height"))
    return Outcome(((Image.new("L", size, round(inputs.number("value") * 255)),),))


def _invert_mask(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((tuple(ImageOps.invert(mask) for mask in inputs.images("mask")),))


def _mask_to_image(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((tuple(mask.convert("RGB") for mask in inputs.images("mask")),))


def _image_to_mask(_run: NodeRun, inputs: Inputs) -> Outcome:
    channel = inputs.text("channel")[0].upper()
    masks = (
        Image.new("L", picture.size, 255) if channel == "A" else picture.getchannel(channel)
        for picture in inputs.images("image")
    )
    return Outcome((tuple(masks),))


def _grow_mask(_run: NodeRun, inputs: Inputs) -> Outcome:
    expand = inputs.integer("expand")
    step = ImageFilter.MaxFilter(3) if expand > 0 else ImageFilter.MinFilter(3)
    masks = inputs.images("mask")
    for _ in range(min(abs(expand), max(masks[0].size))):
        masks = tuple(mask.filter(step) for mask in masks)
    return Outcome((masks,))


MASK_NODES = (
    NodeDefinition(
        "SolidMask",
        _solid_mask,
        {
            "value": number(1.0, 0.0, 1.0),
            "width": integer(512, 1, LARGEST_EDGE),
            "height": integer(512, 1, LARGEST_EDGE),
        },
        outputs=("MASK",),
        display_name="Create Solid Mask",
        category=_CATEGORY,
        module=_MODULE,
    ),
    NodeDefinition(
        "InvertMask",
        _invert_mask,
        {"mask": socket("MASK")},
        outputs=("MASK",),
        display_name="Invert Mask",
        category=_CATEGORY,
        module=_MODULE,
    ),
    NodeDefinition(
        "MaskToImage",
        _mask_to_image,
        {"mask": socket("MASK")},
        outputs=("IMAGE",),
        display_name="Convert Mask to Image",
        category=_CATEGORY,
        module=_MODULE,
    ),
    NodeDefinition(
        "ImageToMask",
        _image_to_mask,
        {"image": socket("IMAGE"), "channel": choice("red", "green", "blue", "alpha")},
        outputs=("MASK",),
        display_name="Convert Image to Mask",
        category=_CATEGORY,
        module=_MODULE,
    ),
    NodeDefinition(
        "GrowMask",
        _grow_mask,
        {
            "mask": socket("MASK"),
            "expand": integer(0, -LARGEST_EDGE, LARGEST_EDGE),
            "tapered_corners": flag(default=True),
        },
        outputs=("MASK",),
        display_name="Grow Mask",
        category=_CATEGORY,
        module=_MODULE,
    ),
)
