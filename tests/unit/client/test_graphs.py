from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from comfymesh.client import InvalidRequest
from comfymesh.client.graphs import GraphText, decode_graph, graph_text

if TYPE_CHECKING:
    from pathlib import Path

GRAPH: dict[str, Any] = {"3": {"class_type": "KSampler", "inputs": {"seed": 2**64 - 1, "text": "Löwe"}}}


def test_mappings_keep_big_integers() -> None:
    assert json.loads(graph_text(GRAPH)) == GRAPH


def test_text_goes_as_it_stands() -> None:
    text = ' \n{"3": broken'
    assert graph_text(text) == text
    assert graph_text("[1]") == "[1]"


def test_other_strings_and_paths_name_files(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text("\ufeff" + json.dumps(GRAPH), encoding="utf-8")
    assert json.loads(graph_text(path)) == GRAPH
    assert graph_text(str(path)) == graph_text(path)


def test_what_a_file_holds_is_never_taken_for_a_path(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "graph.json"
    secret.write_text("{}")
    path.write_text(str(secret))
    assert graph_text(graph_text(path)) == str(secret)
    assert graph_text(GraphText("")) == ""


@pytest.mark.parametrize("graph", [{"3": {"inputs": {"x": float("nan")}}}, {"3": object()}])
def test_what_json_cannot_hold_is_refused(graph: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        graph_text(graph)
    assert caught.value.reason == "GRAPH_UNPARSABLE"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"nope\.json can't be read") as caught:
        graph_text(tmp_path / "nope.json")
    assert caught.value.reason == "FILE_UNREADABLE"


def test_other_encodings_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="UTF-8"):
        decode_graph("{}".encode("utf-16"), "graph.json")


@pytest.mark.parametrize("data", [b"", b" \n"])
def test_nothing_is_refused_by_where_it_comes_from(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"graph\.json is empty"):
        decode_graph(data, "graph.json")
