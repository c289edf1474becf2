"""Where the time of a prompt went, from nothing but its events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.comfyui.events import Event, ExecutionStarted, ExecutionSucceeded, NodeStarted, StepProgress
from comfymesh.agent.comfyui.protocol import parse_text
from comfymesh.agent.comfyui.stopwatch import Stopwatch
from comfymesh.tasks.record import ModelFile, Timing

from .recorded import TRACES, load

MODELS = (
    ModelFile("CheckpointLoaderSimple", "ckpt_name", "big.safetensors"),
    ModelFile("LoraLoader", "lora_name", "detail.safetensors"),
    ModelFile("UpscaleModelLoader", "model_name", "4x.pth"),
)


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


GRAPH = {
    "1": node("CheckpointLoaderSimple", ckpt_name="big.safetensors"),
    "2": node("LoraLoader", lora_name="detail.safetensors", model=["1", 0], clip=["1", 1]),
    "3": node("KSampler", model=["2", 0], steps=10),
    "4": node("UpscaleModelLoader", model_name="4x.pth"),
    "5": node("SaveImage", images=["3", 0], upscaler=["4", 0]),
}


def timed(*events: tuple[float, Event], graph: dict[str, Any] | None = None) -> Timing | None:
    stopwatch = Stopwatch(MODELS)
    stopwatch.submit(GRAPH if graph is None else graph)
    for now, event in events:
        stopwatch.feed(event, now)
    return stopwatch.timing()


def began(now: float) -> tuple[float, Event]:
    return now, ExecutionStarted("p")


def runs(now: float, graph_node: str) -> tuple[float, Event]:
    return now, NodeStarted("p", graph_node, graph_node)


def steps(first: float, every: float, *values: int) -> list[tuple[float, Event]]:
    return [(first + every * (value - 1), StepProgress("p", "3", value, 10)) for value in values]


def done(now: float) -> tuple[float, Event]:
    return now, ExecutionSucceeded("p")


def test_graph_nodes_that_name_a_file_load_it() -> None:
    loading = [began(10), runs(11, "1"), runs(31, "2"), runs(33, "3")]
    timing = timed(*loading, *steps(34, 1, *range(1, 11)), runs(44, "5"), done(46))
    assert timing == Timing(22, 14, ("big.safetensors", "detail.safetensors"))


def test_a_graph_node_whose_result_was_cached_loads_nothing() -> None:
    assert timed(began(10), runs(10, "3"), *steps(11, 1, *range(1, 11)), done(21)) == Timing(0, 11, ())


def test_a_graph_node_that_is_done_at_once_had_its_file_already() -> None:
    assert timed(began(10), runs(10, "1"), runs(10.002, "3"), done(12)) == Timing(0, 2, ())


@pytest.mark.parametrize("values", [range(1, 11), (1, 10), (3, 5, 9)])
def test_a_first_step_that_takes_much_longer_than_others_moves_what_the_sampler_needs(values: list[int]) -> None:
    """Throttled servers leave steps out; the time of one is told by any two."""
    timing = timed(began(0), runs(0, "3"), *steps(8, 1, *values), done(20))
    assert timing == Timing(7, 13, ("detail.safetensors", "big.safetensors"))


def test_a_first_step_that_takes_a_little_longer_moves_nothing() -> None:
    assert timed(began(0), runs(0, "3"), *steps(3, 1, *range(1, 11)), done(20)) == Timing(0, 20, ())


def test_of_a_single_step_nothing_can_be_told() -> None:
    assert timed(began(0), runs(0, "3"), (30, StepProgress("p", "3", 1, 1)), done(31)) == Timing(0, 31, ())


def test_a_prompt_that_fails_while_it_loads_has_spent_its_time_with_that() -> None:
    assert timed(began(0), runs(1, "1"), (9, NodeStarted("p", "1", "1"))) == Timing(8, 1, ("big.safetensors",))


def test_a_prompt_whose_beginning_or_graph_was_not_seen_tells_nothing() -> None:
    assert timed(runs(1, "1"), done(9)) is None
    assert timed(began(0), done(9), graph={}) is None


def test_a_prompt_whose_last_events_were_lost_has_run_until_it_was_found_to_be_over() -> None:
    stopwatch = Stopwatch(MODELS)
    stopwatch.submit(GRAPH)
    for now, event in (began(0), runs(2, "3")):
        stopwatch.feed(event, now)
    stopwatch.stop(30)
    assert stopwatch.timing() == Timing(0, 30, ())


def test_what_was_in_memory_counts_as_used_before_what_was_loaded() -> None:
    stopwatch = Stopwatch(MODELS)
    stopwatch.submit(GRAPH)
    for now, event in (began(0), runs(0, "2"), done(3)):
        stopwatch.feed(event, now)
    stopwatch.timing()
    assert stopwatch.used() == ("big.safetensors", "4x.pth", "detail.safetensors")


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1000),
            st.one_of(
                st.just(ExecutionStarted("p")),
                st.just(ExecutionSucceeded("p")),
                st.builds(NodeStarted, st.just("p"), st.just("1"), st.sampled_from("123456")),
                st.builds(StepProgress, st.just("p"), st.sampled_from("345"), st.floats(0, 10), st.floats(0, 10)),
            ),
        )
    )
)
def test_no_time_is_negative_or_counted_twice(events: list[tuple[float, Event]]) -> None:
    moments = sorted(now for now, _ in events)
    timing = timed(*zip(moments, [event for _, event in events], strict=True))
    if timing is not None:
        assert timing.load_seconds >= 0
        assert timing.run_seconds >= 0


@pytest.mark.parametrize("name", ["01-success-sampling-new-previews", "02-success-sampling-old-previews"])
def test_on_a_recorded_run_load_and_run_make_up_the_whole(name: str) -> None:
    (path,) = [path for path in TRACES if path.stem == name]
    records = load(path).records
    (graph,) = [record["req"]["prompt"] for record in records if record.get("path") == "/prompt" and record["req"]]
    stopwatch = Stopwatch((ModelFile("CheckpointLoaderSimple", "ckpt_name", "tiny-sd3-random.safetensors"),))
    stopwatch.submit(graph)
    moments = []
    for record in records:
        if record["kind"] == "ws_text" and record["json"]["data"].get("prompt_id"):
            moments.append(record["t"])
            stopwatch.feed(parse_text(json.dumps(record["json"])), record["t"])
    timing = stopwatch.timing()
    assert timing is not None
    assert timing.load_seconds + timing.run_seconds == pytest.approx(moments[-1] - moments[0], abs=0.01)
