"""Every kind of output is found, and no name of an output leads out of its folder."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.comfyui.outputs import OutputFile, OutputKind, Outputs, OutputText, media_type, read_outputs

if TYPE_CHECKING:
    from .recorded import Trace


def file(name: str, subfolder: str = "", folder: str = "output") -> dict[str, str]:
    return {"filename": name, "subfolder": subfolder, "type": folder}


def test_images_are_found_in_order() -> None:
    found = read_outputs({"9": {"images": [file("a_00001_.png", "mesh"), file("a_00002_.png", "mesh")]}})
    assert found.files == (
        OutputFile("9", OutputKind.IMAGE, "a_00001_.png", "mesh", "output", 0, "images"),
        OutputFile("9", OutputKind.IMAGE, "a_00002_.png", "mesh", "output", 1, "images"),
    )


@pytest.mark.parametrize(
    ("key", "name", "kind", "media"),
    [
        ("images", "a.png", OutputKind.IMAGE, "image/png"),
        ("images", "a.webp", OutputKind.IMAGE, "image/webp"),
        ("images", "a.mp4", OutputKind.VIDEO, "video/mp4"),
        ("gifs", "a.webm", OutputKind.VIDEO, "video/webm"),
        ("gifs", "a.gif", OutputKind.IMAGE, "image/gif"),
        ("video", "a.mkv", OutputKind.VIDEO, "video/x-matroska"),
        ("audio", "a.flac", OutputKind.AUDIO, "audio/flac"),
        ("audio", "a.opus", OutputKind.AUDIO, "audio/opus"),
        ("3d", "a.glb", OutputKind.MODEL_3D, "model/gltf-binary"),
        ("3d", "a.splat", OutputKind.MODEL_3D, "application/octet-stream"),
        ("text", "a.txt", OutputKind.TEXT, "text/plain"),
        ("latents", "a.latent", OutputKind.OTHER, "application/octet-stream"),
        ("a_key_of_its_own", "a.jpg", OutputKind.IMAGE, "image/jpeg"),
    ],
)
def test_a_file_is_found_under_any_key_and_judged_by_its_name(
    key: str, name: str, kind: OutputKind, media: str
) -> None:
    (found,) = read_outputs({"1": {key: [file(name)]}}).files
    assert (found.kind, found.media_type) == (kind, media)


def test_previews_are_told_apart_by_their_folder() -> None:
    (found,) = read_outputs({"1": {"images": [file("a.png", "", "temp")]}}).files
    assert found.type == "temp"


def test_missing_subfolder_and_type_mean_the_output_folder() -> None:
    (found,) = read_outputs({"1": {"images": [{"filename": "a.png"}]}}).files
    assert (found.subfolder, found.type) == ("", "output")


def test_texts_are_found() -> None:
    found = read_outputs({"1": {"text": ["one", ["two", 3]], "string": "three"}})
    assert found.texts == (
        OutputText("1", "text", "one", 0),
        OutputText("1", "text", "two", 1),
        OutputText("1", "string", "three", 2),
    )


def test_flags_and_numbers_are_no_outputs() -> None:
    assert read_outputs({"1": {"animated": [True], "width": [64, None, 1.5], "extra": {"a": 1}}}) == Outputs()


def test_a_file_named_twice_counts_once() -> None:
    twice = {"images": [file("a.png"), file("a.png")], "animated": [True]}
    assert len(read_outputs({"1": twice, "2": {"images": [file("a.png"), file("a.png", "x")]}}).files) == 2


def test_the_order_is_that_of_the_graph_nodes_however_history_lists_them() -> None:
    nodes = ["10", "9", "2.0.0.1", "2", "b", "12:3"]
    found = read_outputs({node: {"images": [file(f"{i}.png")]} for i, node in enumerate(nodes)})
    assert [one.graph_node for one in found.files] == ["2", "2.0.0.1", "9", "10", "12:3", "b"]


HOSTILE = [
    file(""),
    file("."),
    file(".."),
    file("../../etc/passwd"),
    file("/etc/passwd"),
    file("a/b.png"),
    file("a\\b.png"),
    file("a..b.png"),
    file("a\0.png"),
    file("a\n.png"),
    file("x" * 256),
    file("\udc80.png"),
    file("a.png [input]"),
    file("a.png", ".."),
    file("a.png", "x/../../y"),
    file("a.png", "x\\..\\y"),
    file("a.png", "/etc"),
    file("a.png", "\\\\host\\share"),
    file("a.png", "C:\\x"),
    file("a.png", "x" * 2_000),
    file("a.png", "x\r\ny"),
    file("a.png", "", "/etc"),
    file("a.png", "", "models"),
    {"filename": 5},
    {"filename": None, "subfolder": "", "type": "output"},
    {"filename": "a.png", "subfolder": ["x"]},
]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_hostile_names_are_rejected_with_a_reason(value: dict[str, Any]) -> None:
    found = read_outputs({"1": {"images": [value, file("good.png")]}})
    assert [one.filename for one in found.files] == ["good.png"]
    (rejected,) = found.rejected
    assert (rejected.graph_node, rejected.key) == ("1", "images")
    assert rejected.reason


@given(st.text(), st.text(), st.sampled_from(["output", "temp", "input"]))
def test_what_is_not_rejected_stays_in_its_folder(name: str, subfolder: str, folder: str) -> None:
    for found in read_outputs({"1": {"images": [file(name, subfolder, folder)]}}).files:
        path = PurePosixPath(found.subfolder.replace("\\", "/")) / found.filename
        assert ".." not in path.parts
        assert not path.is_absolute()
        assert path.name == found.filename
        str(path).encode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["filename", "type", "x"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), VALUES))
def test_any_history_is_read_without_an_error(outputs: dict[str, Any]) -> None:
    read_outputs(outputs)


def test_deep_nesting_is_not_followed() -> None:
    value: object = "deep"
    for _ in range(10_000):
        value = [value]
    assert read_outputs({"1": {"text": value}}) == Outputs()


def test_every_recorded_history_gives_the_files_that_its_images_name(trace: Trace) -> None:
    for entry in trace.histories.values():
        outputs = entry["outputs"]
        images = [image for keys in outputs.values() for image in keys.get("images", ())]
        found = read_outputs(outputs)
        assert [(one.filename, one.subfolder, one.type) for one in found.files] == [
            (one["filename"], one["subfolder"], one["type"]) for one in images
        ]
        assert found.rejected == ()


def test_recorded_texts_are_found(traces: dict[str, Trace]) -> None:
    texts = [one.text for entry in traces["37"].histories.values() for one in read_outputs(entry["outputs"]).texts]
    assert "probe" in texts


def test_media_types_do_not_depend_on_the_machine() -> None:
    assert media_type("a.UNKNOWN") == "application/octet-stream"
    assert media_type("A.PNG") == "image/png"
