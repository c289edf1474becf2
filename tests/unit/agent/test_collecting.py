"""Collecting outputs: early where that is possible, and what history names in the end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from comfymesh.agent.collecting import Collecting, OutputRefusedError, OutputsLostError
from comfymesh.agent.comfyui.errors import ComfyUnreachable, OutputMissing
from comfymesh.artifacts.errors import StoreUnavailableError
from comfymesh.artifacts.store import read_all
from comfymesh.tasks.record import Artifact, ArtifactKind
from comfymesh.testkit.benches import MAX_BYTES, Bench
from comfymesh.testkit.scripted import ScriptedHttp, unreachable

MISSING = OutputMissing("GET /view", 404, "not there yet")


def image(filename: str, kind: str = "output") -> dict[str, str]:
    return {"filename": filename, "subfolder": "", "type": kind}


def images(*filenames: str, kind: str = "output") -> dict[str, Any]:
    return {"images": [image(filename, kind) for filename in filenames]}


@pytest.fixture
def http(bench: Bench) -> ScriptedHttp:
    bench.session.http.files = {f"{name}.png": name.encode() for name in "abcdef"}
    return bench.session.http


@pytest.fixture
async def collecting(bench: Bench) -> AsyncIterator[Collecting]:
    collecting = bench.workplace.collecting("default", lambda _: None)
    yield collecting
    await collecting.close()


async def content(bench: Bench, artifact: Artifact) -> bytes:
    return await read_all(bench.store, "default", artifact.sha256, artifact.size_bytes)


async def test_every_file_and_text_that_history_names_becomes_an_artifact(
    bench: Bench, http: ScriptedHttp, collecting: Collecting
) -> None:
    outputs = {"10": {"text": ["hello"]}, "9": images("a.png"), "4": images("b.png", kind="temp")}
    found = await collecting.finish(outputs)
    told = [(a.artifact_id, a.filename, a.graph_node, a.output_key, a.kind, await content(bench, a)) for a in found]
    assert told == [
        ("0", "b.png", "4", "images", ArtifactKind.TEMP, b"b"),
        ("1", "a.png", "9", "images", ArtifactKind.OUTPUT, b"a"),
        ("2", "10-0.txt", "10", "text", ArtifactKind.OUTPUT, b"hello"),
    ]


async def test_a_file_is_taken_as_soon_as_its_graph_node_names_it_and_only_once(
    bench: Bench, http: ScriptedHttp, collecting: Collecting
) -> None:
    collecting.hint("9", images("a.png"))
    await asyncio.sleep(1)
    assert http.viewed == ["a.png"]
    http.files.clear()
    (artifact,) = await collecting.finish({"9": images("a.png")})
    assert await content(bench, artifact) == b"a"
    assert http.viewed == ["a.png"]


async def test_what_history_does_not_name_is_no_artifact(http: ScriptedHttp, collecting: Collecting) -> None:
    collecting.hint("8", images("b.png"))
    (artifact,) = await collecting.finish({"9": images("a.png")})
    assert artifact.filename == "a.png"


async def test_a_file_that_is_written_again_is_taken_again(
    bench: Bench, http: ScriptedHttp, collecting: Collecting
) -> None:
    collecting.hint("8", images("a.png"))
    await asyncio.sleep(1)
    http.files["a.png"] = b"written by another graph node"
    collecting.hint("9", images("a.png"))
    (artifact,) = await collecting.finish({"9": images("a.png")})
    assert await content(bench, artifact) == b"written by another graph node"


async def test_a_file_that_keeps_being_written_is_taken_at_the_end(
    bench: Bench, http: ScriptedHttp, collecting: Collecting
) -> None:
    for round_ in range(4):
        http.files["a.png"] = b"%d" % round_
        collecting.hint("8", images("a.png"))
        await asyncio.sleep(1)
    (artifact,) = await collecting.finish({"8": images("a.png")})
    assert await content(bench, artifact) == b"3"


@pytest.mark.parametrize("error", [MISSING, unreachable()])
async def test_a_file_that_could_not_be_taken_early_is_taken_in_the_end(
    bench: Bench, http: ScriptedHttp, collecting: Collecting, error: Exception
) -> None:
    http.files["a.png"] = error
    collecting.hint("9", images("a.png"))
    await asyncio.sleep(1)
    http.files["a.png"] = b"now"
    (artifact,) = await collecting.finish({"9": images("a.png")})
    assert await content(bench, artifact) == b"now"


async def test_a_file_that_the_store_did_not_take_early_is_stored_in_the_end(
    bench: Bench, http: ScriptedHttp, collecting: Collecting
) -> None:
    with bench.store_bus.away():
        collecting.hint("9", images("a.png"))
        await asyncio.sleep(1)
    (artifact,) = await collecting.finish({"9": images("a.png")})
    assert await content(bench, artifact) == b"a"


async def test_what_is_shown_and_was_not_made_is_not_taken(http: ScriptedHttp, collecting: Collecting) -> None:
    collecting.hint("1", images("b.png", kind="input"))
    await collecting.finish({"1": images("b.png", kind="input"), "9": images("a.png")})
    assert http.viewed == ["a.png"]


@pytest.mark.parametrize("outputs", [{}, {"1": images("a.png", kind="input")}, {"9": {"animated": [False]}}])
async def test_a_prompt_without_an_output_has_lost_it(
    http: ScriptedHttp, collecting: Collecting, outputs: dict[str, Any]
) -> None:
    with pytest.raises(OutputsLostError, match="without a single output"):
        await collecting.finish(outputs)


async def test_a_file_that_is_gone_is_lost(http: ScriptedHttp, collecting: Collecting) -> None:
    with pytest.raises(OutputsLostError, match=r"gone.png of graph node 9 is gone"):
        await collecting.finish({"9": images("gone.png")})


@pytest.mark.parametrize("early", [True, False])
async def test_a_file_that_is_too_large_is_refused_and_the_message_names_the_setting(
    http: ScriptedHttp, collecting: Collecting, *, early: bool
) -> None:
    http.files["a.png"] = b"x" * (MAX_BYTES + 1)
    if early:
        collecting.hint("9", images("a.png"))
        await asyncio.sleep(1)
    with pytest.raises(OutputRefusedError, match=r"9 has more than 1000 bytes; see COMFYMESH_AGENT_MAX_ART") as caught:
        await collecting.finish({"9": images("a.png")})
    assert (caught.value.problem, caught.value.graph_node) == ("OUTPUT_TOO_LARGE", "9")
    assert http.viewing == 0


@pytest.mark.parametrize("filename", ["../a.png", "/etc/passwd", "", "a\x00.png"])
async def test_a_file_with_a_hostile_name_is_not_even_asked_for(
    http: ScriptedHttp, collecting: Collecting, filename: str
) -> None:
    collecting.hint("9", images(filename))
    with pytest.raises(OutputRefusedError, match="graph node 9 names a file that can't be taken") as caught:
        await collecting.finish({"9": images(filename)})
    assert caught.value.problem == "OUTPUT_NAME"
    assert http.viewed == []


async def test_an_instance_that_is_gone_says_so(http: ScriptedHttp, collecting: Collecting) -> None:
    http.files["a.png"] = unreachable("GET /view")
    with pytest.raises(ComfyUnreachable):
        await collecting.finish({"9": images("a.png")})


async def test_when_one_fails_the_others_are_not_left_running(http: ScriptedHttp, collecting: Collecting) -> None:
    http.held.clear()
    finishing = asyncio.create_task(collecting.finish({"9": images(*(f"{name}.png" for name in "abcdef"))}))
    await asyncio.sleep(1)
    assert http.viewing == 4
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)
    await asyncio.sleep(1)
    assert http.viewing == 0
    assert len(http.viewed) == 4


async def test_one_that_is_gone_ends_the_others(http: ScriptedHttp, collecting: Collecting) -> None:
    collecting.hint("8", images("gone.png"))
    await asyncio.sleep(1)
    http.held.clear()
    collecting.hint("9", images("a.png", "b.png"))
    finishing = asyncio.create_task(collecting.finish({"9": images("a.png", "b.png", "gone.png")}))
    await asyncio.sleep(1)
    http.files["a.png"] = unreachable("GET /view")
    http.held.set()
    with pytest.raises((OutputsLostError, ComfyUnreachable)):
        await finishing
    await asyncio.sleep(1)
    assert http.viewing == 0


async def test_it_can_be_finished_again_when_the_store_is_back(
    bench: Bench, http: ScriptedHttp, collecting: Collecting
) -> None:
    outputs = {"8": {"text": ["hello"]}, "9": images("a.png", "b.png", "c.png")}
    collecting.hint("9", images("a.png"))
    await asyncio.sleep(1)
    with bench.store_bus.away():
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                await collecting.finish(outputs)
            await asyncio.sleep(1)
    found = await collecting.finish(outputs)
    assert [await content(bench, artifact) for artifact in found] == [b"hello", b"a", b"b", b"c"]


async def test_a_failure_while_others_are_still_taken_early_does_not_spoil_the_next_try(
    bench: Bench, http: ScriptedHttp, collecting: Collecting
) -> None:
    outputs = {"8": images("a.png"), "9": images("b.png")}
    collecting.hint("8", images("a.png"))
    await asyncio.sleep(1)
    http.held.clear()
    collecting.hint("9", images("b.png"))
    del http.files["a.png"]
    collecting.hint("8", images("a.png"))
    finishing = asyncio.create_task(collecting.finish(outputs))
    await asyncio.sleep(1)
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)
    http.files["a.png"] = b"a"
    http.held.set()
    assert [await content(bench, a) for a in await collecting.finish(outputs)] == [b"a", b"b"]


async def test_no_more_than_a_few_are_taken_at_once(http: ScriptedHttp, collecting: Collecting) -> None:
    http.held.clear()
    collecting.hint("9", images(*(f"{name}.png" for name in "abcdef")))
    await asyncio.sleep(1)
    assert http.viewing == 4
    http.held.set()
    await collecting.finish({"9": images(*(f"{name}.png" for name in "abcdef"))})
    assert sorted(http.viewed) == [f"{name}.png" for name in "abcdef"]


async def test_what_was_begun_and_is_not_wanted_is_dropped_without_a_trace(
    http: ScriptedHttp, collecting: Collecting, caplog: pytest.LogCaptureFixture
) -> None:
    http.files["f.png"] = MISSING
    collecting.hint("7", images("f.png"))
    await asyncio.sleep(1)
    collecting.hint("8", images("f.png"))  # It had failed already.
    http.held.clear()
    collecting.hint("9", images(*(f"{name}.png" for name in "abcde")))  # One more than are taken at once.
    collecting.hint("10", images("a.png"))
    await asyncio.sleep(1)
    await collecting.close()
    gc.collect()
    await asyncio.sleep(1)
    assert http.viewing == 0
    assert caplog.records == []


async def test_a_few_small_outputs_need_no_store(
    bench: Bench, http: ScriptedHttp, collecting: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfymesh.agent.collecting.SMALL_BYTES", 1)
    http.files["b.png"] = b"larger"
    with bench.store_bus.away():
        (artifact,) = await collecting.finish({"9": images("a.png")})
        assert (artifact.small, artifact.size_bytes) == (b"a", 1)
        with pytest.raises(StoreUnavailableError):
            await collecting.finish({"9": images("a.png", "b.png")})


async def test_what_is_stored_early_is_told_by_its_content(
    bench: Bench, http: ScriptedHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what is small: that is stored with the record."""
    told: list[Artifact] = []
    collecting = bench.workplace.collecting("default", told.append)
    monkeypatch.setattr("comfymesh.agent.collecting.SMALL_BYTES", 10)
    http.files["large.png"] = b"x" * MAX_BYTES
    http.files["small.png"] = b"x"
    collecting.hint("9", images("large.png", "small.png"))
    await asyncio.sleep(1)
    (early,) = told
    assert early.artifact_id == early.sha256
    assert await content(bench, early) == b"x" * MAX_BYTES
    first, _ = await collecting.finish({"9": images("large.png", "small.png")})
    assert replace(first, artifact_id=early.artifact_id) == early
    assert told == [early]
    await collecting.close()
