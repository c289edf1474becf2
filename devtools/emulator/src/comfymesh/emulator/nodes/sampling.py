"""Stand-ins for models: loaders, text encoding, sampling, decoding.

Nothing is computed; the time it takes, the progress and the previews are real, and the picture is procedural.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from comfymesh.emulator.nodes.images import LARGEST_EDGE, scale
from comfymesh.emulator.pictures import noisy, paint
from comfymesh.emulator.schema import FileList, NodeDefinition, choice, flag, integer, number, socket
from comfymesh.emulator.values import Conditioning, Images, Inputs, Latent, Model, Outcome, with_pictures

if TYPE_CHECKING:
    from comfymesh.emulator.node_run import NodeRun

_SAMPLERS = (
    "euler", "euler_cfg_pp", "euler_ancestral", "heun", "heunpp2", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast",
    "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "ddpm", "lcm",
    "ipndm", "deis", "res_multistep", "er_sde", "ddim", "uni_pc", "uni_pc_bh2",
)  # fmt: skip
_SCHEDULERS = (
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal",
)  # fmt: skip


def _load_checkpoint(run: NodeRun, inputs: Inputs) -> Outcome:
    name = inputs.text("ckpt_name")
    run.instance.resident.use(name)
    return Outcome((Model(name), Model(name), Model(name)))


def _load_lora(run: NodeRun, inputs: Inputs) -> Outcome:
    if inputs.number("strength_model") or inputs.number("strength_clip"):
        run.instance.resident.patch(inputs.text("lora_name"))
    return Outcome((inputs.get("model", Model), inputs.get("clip", Model)))


def _load_vae(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((Model(inputs.text("vae_name")),))


def _encode_text(_run: NodeRun, inputs: Inputs) -> Outcome:
    inputs.get("clip", Model)
    return Outcome((Conditioning(inputs.text("text")),))


def _empty_latent(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((Latent(inputs.integer("width"), inputs.integer("height"), inputs.integer("batch_size")),))


def _finished(inputs: Inputs) -> Images:
    """Returns what sampling will have made in the end; with an input picture, its share shows through."""
    latent, denoise = inputs.get("latent_image", Latent), inputs.number("denoise")
    text = inputs.get("positive", Conditioning).text
    painted = []
    for index in range(latent.batch):
        picture = paint(text, inputs.integer("seed") + index, latent.width, latent.height)
        if latent.pictures and denoise < 1.0:
            picture = Image.blend(latent.pictures[index], picture, 0.25 + 0.75 * denoise)
        painted.append(picture)
    return tuple(painted)


def _sample(run: NodeRun, inputs: Inputs) -> Outcome:
    # Models may have been unloaded since the loader ran, and its result comes from the cache then.
    run.instance.resident.use(inputs.get("model", Model).name)
    pictures = _finished(inputs)
    steps = inputs.integer("steps")
    edge = run.instance.settings.preview_size
    small = pictures[0].copy()
    small.thumbnail((edge, edge))
    for step in range(1, steps + 1):
        run.instance.sleep(run.instance.settings.step_seconds)
        preview = noisy(small, 1 - step / steps, step) if run.preview else None
        run.report(step, steps, preview)
    return Outcome((with_pictures(inputs.get("latent_image", Latent), pictures),))


def _decode(_run: NodeRun, inputs: Inputs) -> Outcome:
    latent = inputs.get("samples", Latent)
    empty = Image.new("RGB", (latent.width, latent.height), (118, 118, 118))
    return Outcome((latent.pictures or (empty,) * latent.batch,))


def _encode(_run: NodeRun, inputs: Inputs) -> Outcome:
    pictures = inputs.images("pixels")
    width, height = (max(8, edge // 8 * 8) for edge in pictures[0].size)
    fitted = scale(pictures, width, height, "bicubic")
    return Outcome((Latent(width, height, len(fitted), fitted),))


def _upscale_latent(_run: NodeRun, inputs: Inputs) -> Outcome:
    latent, factor = inputs.get("samples", Latent), inputs.number("scale_by")
    width, height = (max(8, round(edge * factor) // 8 * 8) for edge in (latent.width, latent.height))
    pictures = scale(latent.pictures, width, height, "bicubic") if latent.pictures else ()
    return Outcome((Latent(width, height, latent.batch, pictures),))


def _composite_latents(_run: NodeRun, inputs: Inputs) -> Outcome:
    destination, source = inputs.get("destination", Latent), inputs.get("source", Latent)
    below = _decode_all(destination)
    above = _decode_all(source)
    if inputs.flag("resize_source"):
        above = scale(above, destination.width, destination.height, "bilinear")
    results = []
    for index, picture in enumerate(below):
        result = picture.copy()
        result.paste(above[index % len(above)], (inputs.integer("x"), inputs.integer("y")))
        results.append(result)
    return Outcome((with_pictures(destination, tuple(results)),))


def _decode_all(latent: Latent) -> Images:
    return latent.pictures or (Image.new("RGB", (latent.width, latent.height)),) * latent.batch


_LATENT_EDGE = integer(512, 16, LARGEST_EDGE, 8)

SAMPLING_NODES = (
    NodeDefinition(
        "CheckpointLoaderSimple",
        _load_checkpoint,
        {"ckpt_name": FileList("checkpoints")},
        outputs=("MODEL", "CLIP", "VAE"),
        display_name="Load Checkpoint",
        category="model/loaders",
    ),
    NodeDefinition(
        "LoraLoader",
        _load_lora,
        {
            "model": socket("MODEL"),
            "clip": socket("CLIP"),
            "lora_name": FileList("loras"),
            "strength_model": number(1.0, -100.0, 100.0),
            "strength_clip": number(1.0, -100.0, 100.0),
        },
        outputs=("MODEL", "CLIP"),
        display_name="Load LoRA",
        category="model/loaders",
    ),
    NodeDefinition(
        "VAELoader",
        _load_vae,
        {"vae_name": FileList("vae")},
        outputs=("VAE",),
        display_name="Load VAE",
        category="model/loaders",
    ),
    NodeDefinition(
        "CLIPTextEncode",
        _encode_text,
        {"text": ["STRING", {"multiline": True, "dynamicPrompts": True}], "clip": socket("CLIP")},
        outputs=("CONDITIONING",),
        display_name="CLIP Text Encode (Prompt)",
        category="model/conditioning",
    ),
    NodeDefinition(
        "EmptyLatentImage",
        _empty_latent,
        {"width": _LATENT_EDGE, "height": _LATENT_EDGE, "batch_size": integer(1, 1, 4096, None)},
        outputs=("LATENT",),
        display_name="Empty Latent Image",
        category="model/latent",
    ),
    NodeDefinition(
        "EmptySD3LatentImage",
        _empty_latent,
        {
            "width": integer(1024, 16, LARGEST_EDGE, 16),
            "height": integer(1024, 16, LARGEST_EDGE, 16),
            "batch_size": integer(1, 1, 4096, None),
        },
        outputs=("LATENT",),
        category="model/latent/stable diffusion",
        module="comfy_extras.nodes_sd3",
    ),
    NodeDefinition(
        "KSampler",
        _sample,
        {
            "model": socket("MODEL"),
            "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "steps": integer(20, 1, 10000, None),
            "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}],
            "sampler_name": choice(*_SAMPLERS),
            "scheduler": choice(*_SCHEDULERS),
            "positive": socket("CONDITIONING"),
            "negative": socket("CONDITIONING"),
            "latent_image": socket("LATENT"),
            "denoise": number(1.0, 0.0, 1.0),
        },
        outputs=("LATENT",),
        category="model/sampling",
    ),
    NodeDefinition(
        "VAEDecode",
        _decode,
        {"samples": socket("LATENT"), "vae": socket("VAE")},
        outputs=("IMAGE",),
        display_name="VAE Decode",
        category="model/latent",
    ),
    NodeDefinition(
        "VAEEncode",
        _encode,
        {"pixels": socket("IMAGE"), "vae": socket("VAE")},
        outputs=("LATENT",),
        display_name="VAE Encode",
        category="model/latent",
    ),
    NodeDefinition(
        "LatentUpscaleBy",
        _upscale_latent,
        {
            "samples": socket("LATENT"),
            "upscale_method": choice("nearest-exact", "bilinear", "area", "bicubic", "bislerp"),
            "scale_by": number(1.5, 0.01, 8.0),
        },
        outputs=("LATENT",),
        display_name="Upscale Latent By",
        category="model/latent",
    ),
    NodeDefinition(
        "LatentCompositeMasked",
        _composite_latents,
        {
            "destination": socket("LATENT"),
            "source": socket("LATENT"),
            "x": integer(0, 0, LARGEST_EDGE, 8),
            "y": integer(0, 0, LARGEST_EDGE, 8),
            "resize_source": flag(default=False),
        },
        {"mask": socket("MASK")},
        outputs=("LATENT",),
        display_name="Latent Composite Masked",
        category="model/latent",
        module="comfy_extras.nodes_mask",
    ),
)
