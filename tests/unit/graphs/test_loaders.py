"""What loads a model file by itself."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
from comfymesh.graphs.loaders import loaders, stands_alone

FILE = [["a.safetensors"], {}]
CATALOG = Catalog.from_object_info(
    {
        "Zimple": {"input": {"required": {"file": FILE}}},
        "Simple": {"input": {"required": {"file": FILE}, "optional": {"more": ["MODEL"]}}},
        "Default": {
            "input": {"required": {"file": FILE, "dtype": [["fp8", "fp16"], {}], "n": ["INT", {"default": 1}]}}
        },
        "Lora": {"input": {"required": {"file": FILE, "model": ["MODEL"]}}},
        "Text": {"input": {"required": {"file": FILE, "text": ["STRING", {"multiline": True}]}}},
        "Upload": {"input": {"required": {"image": [["a.safetensors"], {"image_upload": True}]}}},
        "Other": {"input": {"required": {"file": [["b.safetensors"], {}]}}},
        "Odd": {"input": "nothing"},
    }
)


def test_what_asks_for_least_comes_first_and_what_needs_more_is_none() -> None:
    assert loaders(CATALOG, "a.safetensors") == [("Simple", "file"), ("Zimple", "file"), ("Default", "file")]
    assert loaders(CATALOG, "nowhere.safetensors") == []


@pytest.mark.parametrize(("name", "alone"), [("Simple", True), ("Default", True), ("Lora", False), ("Odd", False)])
def test_a_class_stands_alone_where_all_else_has_a_value(name: str, *, alone: bool) -> None:
    assert stands_alone(CATALOG.classes[name], "file") is alone
