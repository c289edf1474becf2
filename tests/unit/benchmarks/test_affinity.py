"""The replay of a trace: requests as they were, only shorter, and figures that say what happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from benchmarks import affinity

from comfymesh.client import Task, TaskState, Timing
from comfymesh.scheduler.simulate.trace import Request

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SLICE = affinity.Slice(
    Path("requests.csv"), Path("models.csv"), Path("loras.csv"), count=4, gpus=2, utilisation=0.5, speed=60
)


def request(number: int) -> Request:
    model, loras = f"M{number % 2}", tuple(f"G/M/{n}" for n in range(number))
    return Request(number, 100.0 * number, 6.0 * number, f"G{number}", model, loras, "", 1.0)


TRACE = [request(number) for number in range(1, 6)]


def test_a_slice_is_cut_out_of_the_trace() -> None:
    assert [each.number for each in affinity.compressed(TRACE, replace(SLICE, first=1))] == [2, 3, 4, 5]
    with pytest.raises(ValueError, match="no 4 requests"):
        affinity.compressed(TRACE, replace(SLICE, first=2))


def test_compressed_it_takes_the_share_of_the_gpus_that_is_asked_for() -> None:
    short = affinity.compressed(TRACE, SLICE)
    assert [each.run for each in short] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [each.arrival for each in short] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert sum(each.run for each in short) / (2 * short[-1].arrival) == pytest.approx(0.5)
    assert [len(each.loras) for each in short] == [1, 2, 3, 4]


def test_the_graph_names_the_request_s_models_and_takes_its_time() -> None:
    graph = affinity.graph(Request(0, 0.0, 0.4, "G1", "M1", ("a/0", "a/1"), "", 1.0))
    assert graph["1"]["inputs"]["ckpt_name"] == "M1.safetensors"
    assert graph["4"]["inputs"]["steps"] * affinity.STEP_SECONDS == pytest.approx(0.4)
    assert graph["4"]["inputs"]["model"] == ["lora-1", 0]
    assert graph["lora-1"]["inputs"]["model"] == ["lora-0", 0]
    assert graph["lora-0"]["inputs"]["model"] == ["1", 0]
    assert graph["lora-0"]["inputs"]["lora_name"] == "a-0.safetensors"


def ended(took: float, load: float, state: TaskState = TaskState.SUCCEEDED) -> Task:
    timing = Timing(timedelta(seconds=load), timedelta(seconds=1), ("m",) if load else ())
    return Task("tasks/t", state, create_time=NOW, end_time=NOW + timedelta(seconds=took), timing=timing)


def test_the_figures_of_a_course() -> None:
    course = affinity.course([ended(2, 1), ended(4, 0), ended(6, 2)])
    assert (course.mean, course.longest, course.loading) == (4, 6, 0.5)
    assert course.loads == pytest.approx(200 / 3)


def test_a_task_that_fails_ends_the_measurement() -> None:
    with pytest.raises(RuntimeError, match="FAILED"):
        affinity.course([ended(2, 1, TaskState.FAILED)])


def test_a_ratio_above_one_means_that_the_policy_is_better() -> None:
    courses = {"fifo": affinity.Course(8, 9, 9, 0.4, 70), "mesh": affinity.Course(2, 5, 6, 0.05, 10)}
    rows = dict(affinity.Affinity(SLICE, courses, None).rows())
    assert rows["**affinity** (4 requests, 2 emulators, utilisation 0.5): mean time to result, shorter than fifo"] == (
        "**4.0 times**"
    )
    assert rows["affinity: the same in the simulator"] == "not run"
