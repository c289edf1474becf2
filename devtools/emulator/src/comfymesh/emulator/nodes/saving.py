"""Output nodes for pictures and text."""

from __future__ import annotations

import json
import random
import string
from typing import TYPE_CHECKING

from PIL.PngImagePlugin import PngInfo

from comfymesh.emulator.schema import NodeDefinition, choice, flag, integer, number, socket, text
from comfymesh.emulator.values import Images, Inputs, Outcome

if TYPE_CHECKING:
    from comfymesh.emulator.folders import SaveTarget
    from comfymesh.emulator.node_run import NodeRun

_FASTEST = 1
HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


def entry(target: SaveTarget, name: str, folder: str = "output") -> dict[str, str]:
    """Returns how a saved file is told to clients."""
    return {"filename": name, "subfolder": target.subfolder, "type": folder}


def _metadata(run: NodeRun) -> PngInfo | None:
    if run.instance.settings.disable_metadata:
        return None
    info = PngInfo()
    info.add_text("prompt", json.dumps(run.graph))
    for key, value in run.extra_pnginfo.items():
        info.add_text(key, json.dumps(value))
    return info


def _save_pngs(run: NodeRun, pictures: Images, prefix: str, folder: str) -> Outcome:
    target = run.instance.folders.target(prefix, folder)
    metadata = _metadata(run)
    entries = []
    for index, picture in enumerate(pictures):
        name = target.name(index, ".png")
        picture.save(target.directory / name, pnginfo=metadata, compress_level=_FASTEST)
        entries.append(entry(target, name, folder))
    return Outcome((pictures,), {"images": entries})


def _save_image(run: NodeRun, inputs: Inputs) -> Outcome:
    return _save_pngs(run, inputs.images("images"), inputs.text("filename_prefix", "ComfyUI"), "output")


def _preview_image(run: NodeRun, inputs: Inputs) -> Outcome:
    letters = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 (no secret)
    return _save_pngs(run, inputs.images("images"), f"ComfyUI_temp_{letters}", "temp")


def _save_animated_webp(run: NodeRun, inputs: Inputs) -> Outcome:
    pictures = inputs.images("images")
    target = run.instance.folders.target(inputs.text("filename_prefix"))
    name = target.name(0, ".webp")
    pictures[0].save(
        target.directory / name,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / inputs.number("fps")),
        lossless=inputs.flag("lossless"),
        quality=inputs.integer("quality"),
    )
    return Outcome((), {"images": [entry(target, name)], "animated": [len(pictures) != 1]})


def _preview_any(_run: NodeRun, inputs: Inputs) -> Outcome:
    source = inputs.values["source"]
    shown = source if isinstance(source, str) else json.dumps(source, default=repr)
    return Outcome((shown,), {"text": [shown]})


_PREFIX = text("ComfyUI")

SAVING_NODES = (
    NodeDefinition(
        "SaveImage",
        _save_image,
        {"images": socket("IMAGE"), "filename_prefix": _PREFIX},
        hidden=HIDDEN,
        outputs=("IMAGE",),
        output_names=("images",),
        display_name="Save Image",
        output_node=True,
    ),
    NodeDefinition(
        "PreviewImage",
        _preview_image,
        {"images": socket("IMAGE")},
        hidden=HIDDEN,
        outputs=("IMAGE",),
        output_names=("images",),
        display_name="Preview Image",
        output_node=True,
    ),
    NodeDefinition(
        "SaveAnimatedWEBP",
        _save_animated_webp,
        {
            "images": socket("IMAGE"),
            "filename_prefix": _PREFIX,
            "fps": number(6.0, 0.01, 1000.0),
            "lossless": flag(default=True),
            "quality": integer(80, 0, 100, None),
            "method": choice("default", "fastest", "slowest"),
        },
        hidden=HIDDEN,
        category="image/animation",
        module="comfy_extras.nodes_images",
        output_node=True,
    ),
    NodeDefinition(
        "PreviewAny",
        _preview_any,
        {"source": socket("*")},
        outputs=("STRING",),
        display_name="Preview as Text",
        category="utilities",
        module="comfy_extras.nodes_preview_any",
        output_node=True,
    ),
)
