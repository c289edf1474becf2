"""Pictures of ill will."""

from __future__ import annotations

import pytest
from PIL import EpsImagePlugin

from comfymesh.gateway import pictures

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_program_is_started_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: started.append(given))
    with pytest.raises(pictures.UnusableError):
        pictures.preview(EPS, "webp")
    assert started == []
