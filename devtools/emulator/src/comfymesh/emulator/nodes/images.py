"""Nodes that make and change pictures, done for real with Pillow."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter, ImageOps, ImageSequence

from comfymesh.emulator.schema import FileList, NodeDefinition, choice, integer, number, socket
from comfymesh.emulator.values import Images, Inputs, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from comfymesh.emulator.node_run import NodeRun

LARGEST_EDGE = 16384
_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
_RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def _empty_image(_run: NodeRun, inputs: Inputs) -> Outcome:
    colour = inputs.integer("color")
    size = (inputs.integer("width"), inputs.integer("height"))
    picture = Image.new("RGB", size, (colour >> 16 & 255, colour >> 8 & 255, colour & 255))
    return Outcome(((picture,) * inputs.integer("batch_size"),))


def input_path(run: NodeRun, name: str) -> Path:
    """Returns the path of an uploaded file.

    Raises:
        FileNotFoundError: There is none by this name any more.
    """
    path = run.instance.folders.find(name)
    if path is None:
        raise FileNotFoundError(f"Invalid image file: {name}")
    return path


def _file_fingerprint(run: NodeRun, inputs: Inputs) -> str:
    name = inputs.values.get("image")
    path = run.instance.folders.find(name) if isinstance(name, str) else None
    return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def _load_image(run: NodeRun, inputs: Inputs) -> Outcome:
    pictures, masks = [], []
    with Image.open(input_path(run, inputs.text("image"))) as file:
        for frame in ImageSequence.Iterator(file):
            upright = ImageOps.exif_transpose(frame)
            pictures.append(upright.convert("RGB"))
            masks.append(_alpha_mask(upright))
    return Outcome((tuple(pictures), tuple(masks)))


def _alpha_mask(picture: Image.Image) -> Image.Image:
    """Returns the inverted alpha channel; without one an empty mask of 64 x 64, as ComfyUI does."""
    if "A" in picture.getbands() or "transparency" in picture.info:
        return ImageOps.invert(picture.convert("RGBA").getchannel("A"))
    return Image.new("L", (64, 64))


def _load_image_mask(run: NodeRun, inputs: Inputs) -> Outcome:
    channel = inputs.text("channel")
    with Image.open(input_path(run, inputs.text("image"))) as file:
        picture = ImageOps.exif_transpose(file).convert("RGBA")
    mask = picture.getchannel(channel[0].upper())
    return Outcome(((ImageOps.invert(mask) if channel == "alpha" else mask,),))


def scale(pictures: Images, width: int, height: int, method: str, crop: str = "disabled") -> Images:
    """Scales a batch; a width or height of 0 follows from the other one."""
    old_width, old_height = pictures[0].size
    if width == 0 and height == 0:
        return pictures
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    resampling = _RESAMPLING.get(method, Image.Resampling.BICUBIC)
    if crop == "center":
        return tuple(ImageOps.fit(picture, (width, height), resampling) for picture in pictures)
    return tuple(picture.resize((width, height), resampling) for picture in pictures)


def _image_scale(_run: NodeRun, inputs: Inputs) -> Outcome:
    size = inputs.integer("width"), inputs.integer("height")
    return Outcome((scale(inputs.images("image"), *size, inputs.text("upscale_method"), inputs.text("crop")),))


def _image_scale_by(_run: NodeRun, inputs: Inputs) -> Outcome:
    pictures, factor = inputs.images("image"), inputs.number("scale_by")
    width, height = (max(1, round(edge * factor)) for edge in pictures[0].size)
    return Outcome((scale(pictures, width, height, inputs.text("upscale_method")),))


def _image_blur(_run: NodeRun, inputs: Inputs) -> Outcome:
    radius = min(inputs.integer("blur_radius"), inputs.number("sigma") * 2)
    blur = ImageFilter.GaussianBlur(radius)
    return Outcome((tuple(picture.filter(blur) for picture in inputs.images("image")),))


def _image_sharpen(_run: NodeRun, inputs: Inputs) -> Outcome:
    mask = ImageFilter.UnsharpMask(inputs.integer("sharpen_radius"), round(inputs.number("alpha") * 100))
    return Outcome((tuple(picture.filter(mask) for picture in inputs.images("image")),))


def _image_invert(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((tuple(ImageOps.invert(picture) for picture in inputs.images("image")),))


def _image_flip(_run: NodeRun, inputs: Inputs) -> Outcome:
    mirror = ImageOps.flip if inputs.text("flip_method").startswith("x") else ImageOps.mirror
    return Outcome((tuple(mirror(picture) for picture in inputs.images("image")),))


def _image_rotate(_run: NodeRun, inputs: Inputs) -> Outcome:
    degrees = {"none": 0, "90 degrees": 90, "180 degrees": 180, "270 degrees": 270}[inputs.text("rotation")]
    return Outcome((tuple(picture.rotate(-degrees, expand=True) for picture in inputs.images("image")),))


def _image_crop(_run: NodeRun, inputs: Inputs) -> Outcome:
    pictures = inputs.images("image")
    left, top = min(inputs.integer("x"), pictures[0].width - 1), min(inputs.integer("y"), pictures[0].height - 1)
    box = (
        left,
        top,
        min(left + inputs.integer("width"), pictures[0].width),
        min(top + inputs.integer("height"), pictures[0].height),
    )
    return Outcome((tuple(picture.crop(box) for picture in pictures),))


_EDGE = integer(512, 1, LARGEST_EDGE)
_EXTRAS = "comfy_extras.nodes_images"
_UPLOADED = FileList("input", config={"image_upload": True})

IMAGE_NODES = (
    NodeDefinition(
        "EmptyImage",
        _empty_image,
        {
            "width": _EDGE,
            "height": _EDGE,
            "batch_size": integer(1, 1, 4096, None),
            "color": ["INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}],
        },
        outputs=("IMAGE",),
        display_name="Empty Image",
    ),
    NodeDefinition(
        "LoadImage",
        _load_image,
        {"image": _UPLOADED},
        outputs=("IMAGE", "MASK"),
        display_name="Load Image",
        fingerprint=_file_fingerprint,
    ),
    NodeDefinition(
        "LoadImageMask",
        _load_image_mask,
        {"image": _UPLOADED, "channel": choice("alpha", "red", "green", "blue")},
        outputs=("MASK",),
        display_name="Load Image (as Mask)",
        fingerprint=_file_fingerprint,
    ),
    NodeDefinition(
        "ImageScale",
        _image_scale,
        {
            "image": socket("IMAGE"),
            "upscale_method": choice(*_METHODS),
            "width": integer(512, 0, LARGEST_EDGE),
            "height": integer(512, 0, LARGEST_EDGE),
            "crop": choice("disabled", "center"),
        },
        outputs=("IMAGE",),
        display_name="Upscale Image",
        category="image/upscaling",
    ),
    NodeDefinition(
        "ImageScaleBy",
        _image_scale_by,
        {"image": socket("IMAGE"), "upscale_method": choice(*_METHODS), "scale_by": number(1.0, 0.01, 8.0)},
        outputs=("IMAGE",),
        display_name="Upscale Image By",
        category="image/upscaling",
    ),
    NodeDefinition(
        "ImageBlur",
        _image_blur,
        {"image": socket("IMAGE"), "blur_radius": integer(1, 1, 31), "sigma": number(1.0, 0.1, 10.0, 0.1)},
        outputs=("IMAGE",),
        display_name="Blur Image",
        category="image/filters",
        module="comfy_extras.nodes_post_processing",
    ),
    NodeDefinition(
        "ImageSharpen",
        _image_sharpen,
        {
            "image": socket("IMAGE"),
            "sharpen_radius": integer(1, 1, 31),
            "sigma": number(1.0, 0.1, 10.0),
            "alpha": number(1.0, 0.0, 5.0),
        },
        outputs=("IMAGE",),
        display_name="Sharpen Image",
        category="image/filters",
        module="comfy_extras.nodes_post_processing",
    ),
    NodeDefinition(
        "ImageInvert",
        _image_invert,
        {"image": socket("IMAGE")},
        outputs=("IMAGE",),
        display_name="Invert Image Colors",
        category="image/color",
    ),
    NodeDefinition(
        "ImageFlip",
        _image_flip,
        {"image": socket("IMAGE"), "flip_method": choice("x-axis: vertically", "y-axis: horizontally")},
        outputs=("IMAGE",),
        display_name="Flip Image",
        module=_EXTRAS,
    ),
    NodeDefinition(
        "ImageRotate",
        _image_rotate,
        {"image": socket("IMAGE"), "rotation": choice("none", "90 degrees", "180 degrees", "270 degrees")},
        outputs=("IMAGE",),
        display_name="Rotate Image",
        module=_EXTRAS,
    ),
    NodeDefinition(
        "ImageCrop",
        _image_crop,
        {
            "image": socket("IMAGE"),
            "width": _EDGE,
            "height": _EDGE,
            "x": integer(0, 0, LARGEST_EDGE),
            "y": integer(0, 0, LARGEST_EDGE),
        },
        outputs=("IMAGE",),
        display_name="Crop Image",
        module=_EXTRAS,
    ),
)
