"""Stand-ins for upscalers: the picture is scaled for real, tile by tile, with progress."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from comfymesh.emulator.nodes.images import scale
from comfymesh.emulator.schema import FileList, NodeDefinition, socket
from comfymesh.emulator.values import Inputs, Model, Outcome

if TYPE_CHECKING:
    from comfymesh.emulator.node_run import NodeRun

_MODULE = "comfy_extras.nodes_upscale_model"
_TILE, _OVERLAP = 512, 32


def _load_upscaler(run: NodeRun, inputs: Inputs) -> Outcome:
    name = inputs.text("model_name")
    run.instance.resident.use(name)
    return Outcome((Model(name),))


def factor_of(name: str) -> int:
    """Returns how much an upscaler enlarges, told by its name: ``tiny-compact-2x.pth`` doubles."""
    found = re.search(r"(\d)x|x(\d)", name.lower())
    return int(found[1] or found[2]) if found else 4


def tiles(edge: int) -> int:
    """Returns how many overlapping tiles an edge takes."""
    return max(1, math.ceil((edge - _OVERLAP) / (_TILE - _OVERLAP)))


def _upscale(run: NodeRun, inputs: Inputs) -> Outcome:
    factor = factor_of(inputs.get("upscale_model", Model).name)
    pictures = inputs.images("image")
    width, height = pictures[0].size
    total = tiles(width) * tiles(height) * len(pictures)
    for tile in range(1, total + 1):
        run.instance.sleep(run.instance.settings.step_seconds)
        run.report(tile, total, None)
    return Outcome((scale(pictures, width * factor, height * factor, "lanczos"),))


UPSCALING_NODES = (
    NodeDefinition(
        "UpscaleModelLoader",
        _load_upscaler,
        {"model_name": FileList("upscale_models", combo=True, config={"multiselect": False})},
        outputs=("UPSCALE_MODEL",),
        display_name="Load Upscale Model",
        category="model/loaders",
        module=_MODULE,
    ),
    NodeDefinition(
        "ImageUpscaleWithModel",
        _upscale,
        {"upscale_model": socket("UPSCALE_MODEL"), "image": socket("IMAGE")},
        outputs=("IMAGE",),
        display_name="Upscale Image (using Model)",
        category="image/upscaling",
        module=_MODULE,
    ),
)
