"""What was recorded from a real ComfyUI."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRACES = sorted((Path(__file__).parents[3] / "data" / "comfyui" / "traces").glob("*.jsonl"))


@dataclass(frozen=True)
class Trace:
    name: str
    records: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]

    @property
    def texts(self) -> list[dict[str, Any]]:
        """Messages that are recorded in full; trace 37 holds one that was cut because of its size."""
        return [record["json"] for record in self.of("ws_text") if isinstance(record["json"]["data"], dict)]

    @property
    def histories(self) -> dict[str, dict[str, Any]]:
        answers = [r.get("resp") for r in self.of("http") if r["path"].startswith("/history/")]
        return {
            prompt_id: entry
            for answer in answers
            if isinstance(answer, dict)
            for prompt_id, entry in answer.items()
            if isinstance(entry, dict)
        }


def load(path: Path) -> Trace:
    return Trace(path.stem, [json.loads(line) for line in path.read_text().splitlines()])
