"""One catalog of many: what a ComfyUI that had everything of them would answer to ``GET /object_info``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from comfymesh.graphs.catalog import COMBO, MODEL_SIZES

if TYPE_CHECKING:
    from comfymesh.graphs.graph import JsonValue

Described = dict[str, "JsonValue"]
"""Class name to what ComfyUI tells of it."""

_SECTIONS = ("required", "optional")


def merge(catalogs: Iterable[Mapping[str, JsonValue]]) -> Described:
    """Merges answers of ``GET /object_info``.

    Args:
        catalogs: The answers, in an order that does not change from call to call. Custom nodes write what they like in
            there.

    Returns:
        Every class once, as the first that has it tells of it; its lists of options hold what any of them offers.
    """
    merged: Described = {}
    for catalog in catalogs:
        for name, info in catalog.items():
            if name != MODEL_SIZES and isinstance(info, dict):
                known = merged.get(name)
                merged[name] = _with_options_of(info, known) if isinstance(known, dict) and known != info else info
    return merged


def without_options(catalog: Mapping[str, JsonValue], is_offered: Callable[[str], bool]) -> Described:
    """Leaves out the options that are texts and not offered."""

    def offered(_section: str, _name: str, written: JsonValue) -> JsonValue:
        options = _options(written)
        if options is None:
            return written
        return _replaced(written, [each for each in options if not isinstance(each, str) or is_offered(each)])

    return {name: _mapped(info, offered) if isinstance(info, dict) else info for name, info in catalog.items()}


def _with_options_of(info: dict[str, JsonValue], known: dict[str, JsonValue]) -> dict[str, JsonValue]:
    def united(section: str, name: str, written: JsonValue) -> JsonValue:
        others = _options(_at(_at(_at(info, "input"), section), name))
        mine = _options(written)
        if mine is None or others is None:
            return written
        return _replaced(written, [*mine, *(option for option in others if option not in mine)])

    return _mapped(known, united)


def _mapped(info: dict[str, JsonValue], change: Callable[[str, str, JsonValue], JsonValue]) -> dict[str, JsonValue]:
    """The class with each of its inputs changed."""
    inputs = info.get("input")
    if not isinstance(inputs, dict):
        return info
    changed: dict[str, JsonValue] = {**inputs}
    for section in _SECTIONS:
        written = inputs.get(section)
        if isinstance(written, dict):
            changed[section] = {name: change(section, name, value) for name, value in written.items()}
    return {**info, "input": changed}


def _at(value: JsonValue, key: str) -> JsonValue:
    return value.get(key) if isinstance(value, dict) else None


def _options(written: JsonValue) -> list[JsonValue] | None:
    """The options of an input, in the older notation or the newer one; None for an input of another kind."""
    if not isinstance(written, list) or not written:
        return None
    if isinstance(written[0], list):
        return written[0]
    options = _at(written[1], "options") if written[0] == COMBO and len(written) > 1 else None
    return options if isinstance(options, list) else None


def _replaced(written: JsonValue, options: list[JsonValue]) -> JsonValue:
    assert isinstance(written, list)
    if isinstance(written[0], list):
        return [options, *written[1:]]
    config = written[1]
    assert isinstance(config, dict)
    return [written[0], {**config, "options": options}, *written[2:]]
