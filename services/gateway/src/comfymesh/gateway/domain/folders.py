"""Model folders, as ComfyUI lists them, found in what its loaders offer."""

from __future__ import annotations

from collections.abc import Mapping

from comfymesh.graphs import Catalog

FOLDERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "checkpoints": (("CheckpointLoaderSimple", "ckpt_name"), ("CheckpointLoader", "ckpt_name")),
    "loras": (("LoraLoader", "lora_name"), ("LoraLoaderModelOnly", "lora_name")),
    "vae": (("VAELoader", "vae_name"),),
    "text_encoders": (("CLIPLoader", "clip_name"), ("DualCLIPLoader", "clip_name1")),
    "diffusion_models": (("UNETLoader", "unet_name"),),
    "clip_vision": (("CLIPVisionLoader", "clip_name"),),
    "style_models": (("StyleModelLoader", "style_model_name"),),
    "embeddings": (),
    "controlnet": (("ControlNetLoader", "control_net_name"),),
    "gligen": (("GLIGENLoader", "gligen_name"),),
    "upscale_models": (("UpscaleModelLoader", "model_name"),),
    "hypernetworks": (("HypernetworkLoader", "hypernetwork_name"),),
    "photomaker": (("PhotoMakerLoader", "photomaker_model_name"),),
}
"""Folder to the inputs of ComfyUI's own loaders that list it (ComfyUI 0.33, nodes.py). None lists embeddings."""


def models(catalog: Catalog, folder: str) -> list[str] | None:
    """The files of a folder; None where ComfyUI knows no such folder."""
    places = FOLDERS.get(folder)
    if places is None:
        return None
    found = (
        option
        for name, value in places
        if name in catalog.classes and value in catalog.classes[name].inputs
        for option in catalog.classes[name].inputs[value].options
    )
    return list(dict.fromkeys(option for option in found if isinstance(option, str)))
