"""The streams as data."""

from __future__ import annotations

import pytest

from comfymesh.bus import streams
from comfymesh.bus.streams import Stream


@pytest.mark.parametrize("stream", streams.ALL, ids=lambda stream: stream.name)
def test_the_kind_of_a_subject_tells_its_stream(stream: Stream) -> None:
    assert {streams.of(subject).name for subject in stream.subjects} == {stream.name}
