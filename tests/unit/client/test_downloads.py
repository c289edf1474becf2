from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.client import Artifact
from comfymesh.client.downloads import ChunkBuffer
from comfymesh.v1 import task_service_pb2

NAME = "tasks/x/artifacts/a"


def artifact(data: bytes) -> Artifact:
    return Artifact(name=NAME, filename="a.png", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def chunk(offset: int, data: bytes) -> task_service_pb2.ArtifactChunk:
    return task_service_pb2.ArtifactChunk(artifact=NAME, offset_bytes=offset, data=data)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_chunks_in_order_make_the_artifact(pieces: list[bytes]) -> None:
    buffer = ChunkBuffer()
    offset = 0
    for piece in pieces:
        buffer.add(chunk(offset, piece))
        offset += len(piece)
    data = b"".join(pieces)
    taken = buffer.take(artifact(data))
    assert taken is not None
    assert taken.data == data


@given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=6)), max_size=8))
def test_no_order_of_chunks_makes_a_wrong_artifact(chunks: list[tuple[int, bytes]]) -> None:
    buffer = ChunkBuffer()
    for offset, data in chunks:
        buffer.add(chunk(offset, data))
    taken = buffer.take(artifact(b"the bytes"))
    assert taken is None or taken.data == b"the bytes"


def test_a_gap_or_an_end_too_soon_gives_nothing() -> None:
    buffer = ChunkBuffer()
    buffer.add(chunk(0, b"the"))
    assert buffer.take(artifact(b"the bytes")) is None
    buffer.add(chunk(0, b"the"))
    buffer.add(chunk(4, b"bytes"))
    assert buffer.take(artifact(b"the bytes")) is None


def test_without_a_hash_the_size_decides() -> None:
    buffer = ChunkBuffer()
    buffer.add(chunk(0, b"abc"))
    assert buffer.take(Artifact(name=NAME, filename="a", size_bytes=3)) is not None


def test_chunks_come_alone_or_beside_a_state() -> None:
    buffer = ChunkBuffer()
    buffer.take_from(task_service_pb2.RunTaskResponse(artifact_chunk=chunk(0, b"the ")))
    buffer.take_from(task_service_pb2.RunTaskResponse(artifact_chunks=[chunk(4, b"bytes")]))
    taken = buffer.take(artifact(b"the bytes"))
    assert taken is not None
    assert taken.data == b"the bytes"
