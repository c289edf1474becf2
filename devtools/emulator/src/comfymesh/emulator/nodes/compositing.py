"""Nodes that put several pictures together, done for real with Pillow."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageFilter

from comfymesh.emulator.nodes.images import LARGEST_EDGE, scale
from comfymesh.emulator.schema import NodeDefinition, choice, flag, integer, number, socket
from comfymesh.emulator.values import Inputs, Masks, Outcome

if TYPE_CHECKING:
    from comfymesh.emulator.node_run import NodeRun


def _image_batch(_run: NodeRun, inputs: Inputs) -> Outcome:
    first, second = inputs.images("image1"), inputs.images("image2")
    return Outcome(((*first, *scale(second, *first[0].size, "bilinear", "center")),))


def _image_blend(_run: NodeRun, inputs: Inputs) -> Outcome:
    first = inputs.images("image1")
    second = scale(inputs.images("image2"), *first[0].size, "bicubic", "center")
    mixed = {
        "normal": lambda _below, above: above,
        "multiply": ImageChops.multiply,
        "screen": ImageChops.screen,
        "difference": ImageChops.difference,
    }[inputs.text("blend_mode")]
    share = inputs.number("blend_factor")
    return Outcome(
        (tuple(Image.blend(a, mixed(a, b), share) for a, b in zip_longest(first, second, fillvalue=second[-1])),)
    )


def _composite(_run: NodeRun, inputs: Inputs) -> Outcome:
    destination, source = inputs.images("destination"), inputs.images("source")
    if inputs.flag("resize_source"):
        source = scale(source, *destination[0].size, "bilinear")
    masks: Masks = inputs.optional("mask", tuple) or (Image.new("L", source[0].size, 255),)
    position = inputs.integer("x"), inputs.integer("y")
    results = []
    for index, below in enumerate(destination):
        above = source[index % len(source)]
        picture = below.copy()
        picture.paste(above, position, masks[index % len(masks)].resize(above.size))
        results.append(picture)
    return Outcome((tuple(results),))


def _pad_for_outpaint(_run: NodeRun, inputs: Inputs) -> Outcome:
    left, top, right, bottom = (inputs.integer(side) for side in ("left", "top", "right", "bottom"))
    pictures = inputs.images("image")
    size = (pictures[0].width + left + right, pictures[0].height + top + bottom)
    padded = []
    for picture in pictures:
        canvas = Image.new("RGB", size, (128, 128, 128))
        canvas.paste(picture, (left, top))
        padded.append(canvas)
    mask = Image.new("L", size, 255)
    mask.paste(0, (left, top, left + pictures[0].width, top + pictures[0].height))
    feathered = mask.filter(ImageFilter.GaussianBlur(inputs.integer("feathering") / 4))
    return Outcome((tuple(padded), (ImageChops.lighter(mask, feathered),)))


COMPOSITING_NODES = (
    NodeDefinition(
        "ImageBatch",
        _image_batch,
        {"image1": socket("IMAGE"), "image2": socket("IMAGE")},
        outputs=("IMAGE",),
        display_name="Batch Images (DEPRECATED)",
        category="image/batch",
    ),
    NodeDefinition(
        "ImageBlend",
        _image_blend,
        {
            "image1": socket("IMAGE"),
            "image2": socket("IMAGE"),
            "blend_factor": number(0.5, 0.0, 1.0),
            "blend_mode": choice("normal", "multiply", "screen", "difference"),
        },
        outputs=("IMAGE",),
        display_name="Blend Images",
        module="comfy_extras.nodes_post_processing",
    ),
    NodeDefinition(
        "ImageCompositeMasked",
        _composite,
        {
            "destination": socket("IMAGE"),
            "source": socket("IMAGE"),
            "x": integer(0, 0, LARGEST_EDGE),
            "y": integer(0, 0, LARGEST_EDGE),
            "resize_source": flag(default=False),
        },
        {"mask": socket("MASK")},
        outputs=("IMAGE",),
        display_name="Image Composite Masked",
        category="image/compositing",
        module="comfy_extras.nodes_mask",
    ),
    NodeDefinition(
        "ImagePadForOutpaint",
        _pad_for_outpaint,
        {
            "image": socket("IMAGE"),
            **{side: integer(0, 0, LARGEST_EDGE, 8) for side in ("left", "top", "right", "bottom")},
            "feathering": integer(40, 0, LARGEST_EDGE),
        },
        outputs=("IMAGE", "MASK"),
        display_name="Pad Image for Outpainting",
    ),
)
