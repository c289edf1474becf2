"""Literal inputs that name files of a node are found; texts that only mention them are not."""

from __future__ import annotations

import json

import pytest

from comfymesh import graphs
from comfymesh.api import nodes_files
from comfymesh.testkit.graphs import node


@pytest.mark.parametrize(
    "text",
    [
        "comfymesh/inputs/0123456789abcdef/secret.png",
        "comfymesh/lab/0123456789abcdef-secret.png",
        "comfymesh/one-1/picture_00001_.png [output]",
        "comfymesh/one-1/picture_00001_.png [temp]",
        "comfymesh/x.png [input]",
        "comfymesh/x.png[input]",
        "COMFYMESH/x.png",
        "comfymesh\\lab\\x.png",
        "./comfymesh/x.png",
        ".//comfymesh//x.png",
        "a/../comfymesh/x.png",
        "comfymesh/../comfymesh/x.png",
        "../input/comfymesh/x.png",
        "../output/picture_00001_.png",
        "..\\temp\\ComfyUI_temp_abcde_00001_.png",
        "/srv/state/instances/x/data/input/comfymesh/x.png",
        "//comfymesh/x.png",
        " comfymesh/x.png",
        "comfymesh/",
        "ComfyUI_temp_abcde_00001_.png [temp]",
        "picture_00001_.png [output]",
        "picture_00001_.png[output]",
        "picture_00001_.pngx[output]",
        "comfymesh/" + "x" * 1014,
    ],
)
def test_a_path_to_files_of_a_node(text: str) -> None:
    assert nodes_files.is_nodes_own(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x.png",
        "mine/x.png",
        "x.png [input]",
        "comfymesh",
        "comfymesh is a mesh",
        "a picture of comfymesh/x.png on a wall",
        "comfymesh/x.png\non a wall",
        "comfymesh/x.png\ra wall",
        "comfymesh/" + "x" * 1015,
        "comfymesh/../x.png",
        "comfymeshes/x.png",
        "a dog (sitting:1.2) [output]",
        "a dog. [temp]",
        "..",
        "../x.png",
        "models/output/x.safetensors",
        "/",
    ],
)
def test_what_is_none(text: str) -> None:
    assert not nodes_files.is_nodes_own(text)


def test_each_input_is_named_where_it_came_from() -> None:
    own = "comfymesh/x.png"
    graph = graphs.parse_graph(
        json.dumps(
            {
                "1": node("LoadImage", image=own),
                "2": node("LoadImage", image=own),
                "3": node("LoadImage", image=own),
                "4": node("SaveImage", images=["1", 0], filename_prefix="comfymesh/one-1/picture"),
                "5": node("Batch", images={"__value__": ["x.png", own]}, size=4),
            }
        )
    )
    found = [wrong.field for wrong in nodes_files.violations(graph, {("1", "image")}, {("2", "image")})]
    assert found == ["task.inputs[1.image]", "task.graph_json[3].inputs.image", "task.graph_json[5].inputs.images"]
