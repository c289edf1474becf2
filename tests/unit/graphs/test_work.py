"""What graphs have in common, how large they are among each other, and all the models that they load."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.api import feasibility
from comfymesh.graphs import Catalog, Graph, GraphNode, parse_graph, validate, work

DATA = Path(__file__).parents[2] / "data" / "comfyui"
INFO = json.loads((DATA / "object_info_subset.json").read_text())
MANIFEST = json.loads((DATA / "manifest.json").read_text())
RAN = [name for name in MANIFEST if MANIFEST[name]["http_status"] == 200]

FILES = [
    *("sdxl.safetensors", "svd.safetensors", "tiny-sd3-random.safetensors"),
    *("detail.safetensors", "style.safetensors", "canny.safetensors", "flux.safetensors"),
    *("t5.safetensors", "clip_l.safetensors", "ae.safetensors", "vision.safetensors", "4x.pth", "None"),
]


def _class(inputs: dict[str, Any], outputs: str = "", **more: Any) -> dict[str, Any]:
    """A node class; an input is a type, or a list of options."""
    required = {name: [kind, {}] for name, kind in inputs.items()}
    return {"input": {"required": required}, "output": outputs.split(), "output_node": False, **more}


SAMPLING = {"steps": "INT", "model": "MODEL", "positive": "CONDITIONING", "latent_image": "LATENT"}
SIZE = {"width": "INT", "height": "INT"}
CLASSES = {
    "CheckpointLoaderSimple": _class({"ckpt_name": FILES}, "MODEL CLIP VAE"),
    "ImageOnlyCheckpointLoader": _class({"ckpt_name": FILES}, "MODEL CLIP_VISION VAE"),
    "LoraLoader": _class({"model": "MODEL", "clip": "CLIP", "lora_name": FILES}, "MODEL CLIP"),
    "ManyLoras": _class({"model": "MODEL", "lora_1": FILES, "lora_2": FILES, "lora_3": FILES}, "MODEL"),
    "ControlNetLoader": _class({"control_net_name": FILES}, "CONTROL_NET"),
    "ControlNetApply": _class({"conditioning": "CONDITIONING", "control_net": "CONTROL_NET"}, "CONDITIONING"),
    "UNETLoader": _class({"unet_name": FILES}, "MODEL"),
    "DualCLIPLoader": _class({"clip_name1": FILES, "clip_name2": FILES}, "CLIP"),
    "VAELoader": _class({"vae_name": FILES}, "VAE"),
    "CLIPVisionLoader": _class({"clip_name": FILES}, "CLIP_VISION"),
    "UpscaleModelLoader": _class({"model_name": FILES}, "UPSCALE_MODEL"),
    "CLIPTextEncode": _class({"text": "STRING", "clip": "CLIP"}, "CONDITIONING"),
    "EmptyLatentImage": _class({**SIZE, "batch_size": "INT"}, "LATENT"),
    "EmptyVideo": _class({**SIZE, "length": "INT", "batch_size": "INT"}, "LATENT"),
    "ImageToVideo": _class(
        {**SIZE, "vision": "CLIP_VISION", "video_frames": "INT"}, "CONDITIONING CONDITIONING LATENT"
    ),
    "LatentUpscaleBy": _class({"samples": "LATENT", "scale_by": "FLOAT"}, "LATENT"),
    "ImageScale": _class({"image": "IMAGE", **SIZE}, "IMAGE"),
    "LoadImage": _class({"image": "STRING"}, "IMAGE MASK"),
    "VAEEncode": _class({"pixels": "IMAGE", "vae": "VAE"}, "LATENT"),
    "VAEDecode": _class({"samples": "LATENT", "vae": "VAE"}, "IMAGE"),
    "ImageUpscaleWithModel": _class({"upscale_model": "UPSCALE_MODEL", "image": "IMAGE"}, "IMAGE"),
    "KSampler": _class({"seed": "INT", **SAMPLING}, "LATENT"),
    "KSamplerAdvanced": _class({**SAMPLING, "start_at_step": "INT", "end_at_step": "INT"}, "LATENT"),
    "BasicScheduler": _class({"model": "MODEL", "steps": "INT"}, "SIGMAS"),
    "SplitSigmas": _class({"sigmas": "SIGMAS", "step": "INT"}, "SIGMAS SIGMAS"),
    "SamplerCustomAdvanced": _class(
        {"guider": "GUIDER", "sigmas": "SIGMAS", "latent_image": "LATENT"}, "LATENT LATENT"
    ),
    "BasicGuider": _class({"model": "MODEL", "conditioning": "CONDITIONING"}, "GUIDER"),
    "Number": _class({"value": "INT"}, "INT"),
    "SaveImage": _class({"images": "IMAGE"}, output_node=True),
}
CATALOG = Catalog.from_object_info(CLASSES)


def graph(**nodes: dict[str, Any]) -> Graph:
    return parse_graph(json.dumps(nodes))


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def text_to_image(**changes: dict[str, Any]) -> Graph:
    return graph(
        **{
            "load": node("CheckpointLoaderSimple", ckpt_name="sdxl.safetensors"),
            "text": node("CLIPTextEncode", text="a harbour", clip=["load", 1]),
            "size": node("EmptyLatentImage", width=1024, height=1024, batch_size=1),
            "sample": node(
                "KSampler", seed=1, steps=20, model=["load", 0], positive=["text", 0], latent_image=["size", 0]
            ),
            "decode": node("VAEDecode", samples=["sample", 0], vae=["load", 2]),
            "save": node("SaveImage", images=["decode", 0]),
        }
        | changes
    )


def flux(*, steps: Any = 4, more: dict[str, Any] | None = None) -> Graph:
    return graph(
        unet=node("UNETLoader", unet_name="flux.safetensors"),
        clip=node("DualCLIPLoader", clip_name1="t5.safetensors", clip_name2="clip_l.safetensors"),
        vae=node("VAELoader", vae_name="ae.safetensors"),
        text=node("CLIPTextEncode", text="a harbour", clip=["clip", 0]),
        guide=node("BasicGuider", model=["unet", 0], conditioning=["text", 0]),
        sigmas=node("BasicScheduler", model=["unet", 0], steps=steps),
        size=node("EmptyLatentImage", width=1024, height=512, batch_size=2),
        sample=node("SamplerCustomAdvanced", guider=["guide", 0], sigmas=["sigmas", 0], latent_image=["size", 0]),
        decode=node("VAEDecode", samples=["sample", 0], vae=["vae", 0]),
        save=node("SaveImage", images=["decode", 0]),
        **(more or {}),
    )


def image_to_image(**size: Any) -> Graph:
    scaled = {"scale": node("ImageScale", image=["photo", 0], **size)} if size else {}
    return text_to_image(
        photo=node("LoadImage", image="photo.png"),
        size=node("VAEEncode", pixels=["scale" if size else "photo", 0], vae=["load", 2]),
        **scaled,
    )


def picture(**changes: Any) -> dict[str, Any]:
    return node("EmptyLatentImage", **({"width": 1024, "height": 1024, "batch_size": 1} | changes))


def sampler(**changes: Any) -> dict[str, Any]:
    inputs = {"seed": 1, "steps": 20, "model": ["load", 0], "positive": ["text", 0], "latent_image": ["size", 0]}
    return node("KSampler", **(inputs | changes))


def shape(chosen: Graph, catalog: Catalog = CATALOG) -> str:
    return work(chosen, catalog, validate(chosen, catalog).runnable_outputs).shape


def units(chosen: Graph, catalog: Catalog = CATALOG) -> float:
    validation = validate(chosen, catalog)
    assert validation.runnable_outputs, validation.violations
    return work(chosen, catalog, validation.runnable_outputs).units


def models(chosen: Graph, catalog: Catalog = CATALOG) -> set[str]:
    return {model.name for model in feasibility.requirements(validate(chosen, catalog)).models}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (text_to_image(), 20.0),
        (text_to_image(size=picture(width=512, height=512, batch_size=4)), 20.0),
        (text_to_image(n=node("Number", value=2048), size=picture(width=["n", 0], height=512)), 20.0),
        (image_to_image(), 20.0),
        (image_to_image(width=512, height=1024), 10.0),
        (flux(), 4.0),
        (flux(steps=["n", 0], more={"n": node("Number", value=28)}), 28.0),
        (text_to_image(size=node("EmptyVideo", width=1024, height=512, length=80, batch_size=1)), 800.0),
        (text_to_image(size=node("EmptyVideo", width=1024, height=512, length=80, batch_size=2)), 1600.0),
    ],
)  # fmt: skip
def test_units_are_steps_times_megapixels_times_pictures(chosen: Graph, expected: float) -> None:
    assert units(chosen) == expected


def test_a_second_pass_on_a_larger_picture_counts_as_such() -> None:
    chosen = text_to_image(
        larger=node("LatentUpscaleBy", samples=["sample", 0], scale_by=2.0),
        again=sampler(steps=5, latent_image=["larger", 0]),
        decode=node("VAEDecode", samples=["again", 0], vae=["load", 2]),
    )
    assert units(chosen) == 20.0 + 5 * 4.0


def test_steps_that_a_sampler_leaves_out_do_not_count() -> None:
    late = sampler(start_at_step=15, end_at_step=10000)
    refine = late | {"class_type": "KSamplerAdvanced"}
    assert units(text_to_image(sample=refine)) == 5.0


def test_sigmas_count_where_they_are_used_however_they_get_there() -> None:
    split = {
        "split": node("SplitSigmas", sigmas=["sigmas", 0], step=2),
        "sample": node("SamplerCustomAdvanced", guider=["guide", 0], sigmas=["split", 1], latent_image=["size", 0]),
    }
    nodes = flux().to_prompt() | split
    assert units(parse_graph(json.dumps(nodes))) == 4.0


def test_video_from_a_picture() -> None:
    chosen = graph(
        load=node("ImageOnlyCheckpointLoader", ckpt_name="svd.safetensors"),
        start=node("ImageToVideo", width=1024, height=512, vision=["load", 1], video_frames=14),
        sample=sampler(positive=["start", 0], latent_image=["start", 2]),
        decode=node("VAEDecode", samples=["sample", 0], vae=["load", 2]),
        save=node("SaveImage", images=["decode", 0]),
    )
    assert units(chosen) == 140.0


def test_a_graph_without_steps_is_one_unit() -> None:
    chosen = graph(
        photo=node("LoadImage", image="photo.png"),
        load=node("UpscaleModelLoader", model_name="4x.pth"),
        scale=node("ImageUpscaleWithModel", upscale_model=["load", 0], image=["photo", 0]),
        save=node("SaveImage", images=["scale", 0]),
    )
    assert units(chosen) == 1.0
    assert models(chosen) == {"4x.pth"}


SAME = {
    "seed": text_to_image(sample=sampler(seed=9)),
    "text": text_to_image(text=node("CLIPTextEncode", text="x.safetensors is a file", clip=["load", 1])),
    "size": text_to_image(size=node("EmptyLatentImage", width=64, height=64, batch_size=8)),
    "steps": text_to_image(sample=sampler(steps=3)),
    "unused": text_to_image(unused=node("CheckpointLoaderSimple", ckpt_name="svd.safetensors")),
}  # fmt: skip
OTHER = {
    "model": text_to_image(load=node("CheckpointLoaderSimple", ckpt_name="svd.safetensors")),
    "links": text_to_image(decode=node("VAEDecode", samples=["size", 0], vae=["load", 2])),
    "class": text_to_image(size=node("EmptyVideo", width=1024, height=1024, length=1, batch_size=1)),
    "twice": text_to_image(save2=node("SaveImage", images=["decode", 0])),
    "image": image_to_image(),
}


@pytest.mark.parametrize("change", SAME)
def test_what_does_not_change_the_shape(change: str) -> None:
    assert shape(SAME[change]) == shape(text_to_image())


@pytest.mark.parametrize("change", OTHER)
def test_what_changes_the_shape(change: str) -> None:
    assert shape(OTHER[change]) != shape(text_to_image())


@given(st.integers(0, 2**32))
def test_the_shape_does_not_depend_on_names_and_order_of_graph_nodes(seed: int) -> None:
    chance = random.Random(seed)
    for chosen in (text_to_image(), flux(), image_to_image(width=64, height=64)):
        ids = list(chosen.nodes)
        names = dict(zip(ids, chance.sample([str(number) for number in range(100)], len(ids)), strict=True))
        nodes = [_renamed(chosen.nodes[node_id], names) for node_id in chance.sample(ids, len(ids))]
        renamed = Graph({node.id: node for node in nodes})
        assert (shape(renamed), units(renamed)) == (shape(chosen), units(chosen))


def _renamed(node: GraphNode, names: dict[str, str]) -> GraphNode:
    inputs = {
        name: [names[str(value[0])], value[1]] if isinstance(value, list) else value
        for name, value in node.inputs.items()
    }
    return GraphNode(names[node.id], node.class_type, inputs)


def test_workflows_have_a_shape_of_their_own_unless_what_runs_differs_in_numbers_only() -> None:
    catalog = Catalog.from_object_info(INFO)
    alike: dict[str, list[str]] = {}
    for name in RAN:
        alike.setdefault(shape(parse_graph((DATA / "workflows" / name).read_text()), catalog), []).append(name)
    assert [names for names in alike.values() if len(names) > 1] == [
        ["01-empty-save.json", "99-half-invalid.json"],
        ["20-probe-steps.json", "24-probe-fail-at-step.json"],
    ]


def test_units_of_the_tiny_pictures() -> None:
    catalog = Catalog.from_object_info(INFO)
    chosen = parse_graph((DATA / "workflows" / "04-tiny-txt2img.json").read_text())
    (size,) = [node for node in chosen.nodes.values() if "width" in node.inputs]
    (stepping,) = [node for node in chosen.nodes.values() if "steps" in node.inputs]
    pixels = float(str(size.inputs["width"])) * float(str(size.inputs["height"]))
    assert units(chosen, catalog) == pytest.approx(float(str(stepping.inputs["steps"])) * pixels / 2**20)


def test_the_models_are_all_that_the_graph_loads() -> None:
    chosen = text_to_image(
        lora=node("LoraLoader", model=["load", 0], clip=["load", 1], lora_name="detail.safetensors"),
        loras=node("ManyLoras", model=["lora", 0], lora_1="style.safetensors", lora_2="None", lora_3="None"),
        control=node("ControlNetLoader", control_net_name="canny.safetensors"),
        steer=node("ControlNetApply", conditioning=["text", 0], control_net=["control", 0]),
        vae=node("VAELoader", vae_name="ae.safetensors"),
        sample=sampler(model=["loras", 0], positive=["steer", 0]),
        decode=node("VAEDecode", samples=["sample", 0], vae=["vae", 0]),
        unused=node("CLIPVisionLoader", clip_name="vision.safetensors"),
    )
    assert models(chosen) == {
        *("sdxl.safetensors", "detail.safetensors", "style.safetensors", "canny.safetensors", "ae.safetensors")
    }
    assert models(flux()) == {"flux.safetensors", "t5.safetensors", "clip_l.safetensors", "ae.safetensors"}


hostile = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.tuples(st.sampled_from(["a", "b", "c", "?"]), st.one_of(st.integers(-2, 5), st.text(max_size=2))).map(list),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.tuples(
            st.sampled_from([*CLASSES, "Unknown"]),
            st.dictionaries(
                st.sampled_from(["steps", "width", "height", "sigmas", "latent_image", "images", "scale_by", "length"]),
                hostile,
            ),
        ),
        min_size=1,
    )
)
def test_whatever_a_graph_holds_it_has_a_shape_and_finite_units(nodes: dict[str, tuple[str, dict[str, Any]]]) -> None:
    chosen = Graph({name: GraphNode(name, class_type, inputs) for name, (class_type, inputs) in nodes.items()})
    found = work(chosen, CATALOG, list(nodes))
    assert len(found.shape) == 16
    assert 0 < found.units <= 1e6
