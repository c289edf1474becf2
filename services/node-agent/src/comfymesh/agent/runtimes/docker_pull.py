"""How far the pull of an image is, from what the engine says. Pure."""

from __future__ import annotations

from typing import Any

_MEBIBYTE = 1024 * 1024


class PullProgress:
    """Adds up the layers of one image. What the engine says is taken as it comes: nothing in it need be there."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._told = ""
        self.error = ""

    def feed(self, line: Any) -> str:  # noqa: ANN401 - JSON of another program
        """Take in one line of the engine; answers what is to be told, or nothing if that is the same as before."""
        if not isinstance(line, dict):
            return ""
        if "error" in line:
            self.error = str(line["error"])
            return ""
        self._count(str(line.get("id", "")), str(line.get("status", "")), line.get("progressDetail"))
        return self._changed()

    def _count(self, layer: str, status: str, detail: object) -> None:
        if status == "Downloading" and isinstance(detail, dict):
            current, total = detail.get("current"), detail.get("total")
            if isinstance(current, int) and isinstance(total, int) and 0 <= current <= total:
                self._layers[layer] = current, total
        elif status in {"Download complete", "Pull complete"} and layer in self._layers:
            total = self._layers[layer][1]
            self._layers[layer] = total, total

    def _changed(self) -> str:
        done, whole = (sum(column) for column in zip(*self._layers.values(), strict=True)) if self._layers else (0, 0)
        told = f"{100 * done // whole} % of {whole // _MEBIBYTE} MiB" if whole else ""
        if told == self._told:
            return ""
        self._told = told
        return told
