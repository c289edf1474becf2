"""Makes the models that the workflows beside this file name: random weights that a real ComfyUI loads and runs.

    cd /path/to/ComfyUI && .venv/bin/python /path/to/tiny_models.py models

writes `checkpoints/tiny-sd3-random.safetensors` (350 MB: nearly all of it is a text encoder, whose size is fixed) and
`upscale_models/tiny-compact-2x.pth` below the folder. Pictures made with them are noise.
"""

from __future__ import annotations

# ruff: noqa: E402
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
FOLDER, sys.argv = Path(sys.argv[1]).resolve(), [sys.argv[0], "--cpu"]

import comfy.options

comfy.options.enable_args_parsing()  # ComfyUI reads arguments of its own when the rest of it is imported.

import comfy.ops
import torch
from comfy.clip_model import CLIPTextModel
from comfy.ldm.modules.diffusionmodules import model
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT
from safetensors.torch import save_file
from torch.nn import Conv2d, PReLU, Sequential

CHECKPOINT = "tiny-sd3-random.safetensors"
UPSCALER = "tiny-compact-2x.pth"
WIDTH = 128  # 64 for each block: ComfyUI reads the number of blocks from the width.
SPREAD = 0.02


def checkpoint() -> dict[str, Any]:
    """An SD3 model of two blocks, the encoder and decoder of its latents, and CLIP-L."""
    parts = {
        "model.diffusion_model.": _diffusion(),
        "first_stage_model.encoder.": _vae("Encoder", channels=128),
        "first_stage_model.decoder.": _vae("Decoder", channels=32),
        "text_encoders.clip_l.transformer.": _text_encoder(),
    }
    return {prefix + name: value for prefix, part in parts.items() for name, value in _random(part).items()}


def upscaler() -> dict[str, Any]:
    """A network of three convolutions that doubles the size."""
    features = 8
    middle = (Conv2d(features, features, 3, 1, 1), PReLU(features))
    body = Sequential(Conv2d(3, features, 3, 1, 1), PReLU(features), *middle, Conv2d(features, 12, 3, 1, 1))
    torch.manual_seed(1)
    return {f"body.{name}": value for name, value in body.state_dict().items()}


def _diffusion() -> Any:
    context = {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": WIDTH}}
    return MMDiT(
        input_size=None,
        in_channels=16,
        depth=WIDTH // 64,
        adm_in_channels=2048,
        context_embedder_config=context,
        num_patches=96 * 96,
        pos_embed_max_size=96,
        operations=comfy.ops.disable_weight_init,
    )


def _vae(side: str, channels: int) -> Any:
    return getattr(model, side)(
        double_z=True,
        z_channels=16,
        resolution=256,
        in_channels=3,
        out_ch=3,
        ch=channels,
        ch_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        attn_resolutions=(),
    )


def _text_encoder() -> Any:
    settings = json.loads(Path("comfy/sd1_clip_config.json").read_text())
    return CLIPTextModel(settings, torch.float16, "cpu", comfy.ops.disable_weight_init)


def _random(part: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    return {name: _weight(name, value).to(torch.float16) for name, value in part.state_dict().items()}


def _weight(name: str, like: Any) -> Any:
    is_gain = "norm" in name and name.endswith("weight")
    return torch.ones(like.shape) if is_gain else torch.randn(like.shape) * SPREAD


def main(folder: Path) -> None:
    """Writes both files."""
    for kind in ("checkpoints", "upscale_models"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    save_file(checkpoint(), folder / "checkpoints" / CHECKPOINT)
    torch.save(upscaler(), folder / "upscale_models" / UPSCALER)


if __name__ == "__main__":
    main(FOLDER)
