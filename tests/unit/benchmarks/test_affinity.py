"""The replay of a trace: requests as they were, only shorter, and figures that say what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from benchmarks import affinity, trace
from benchmarks.trace import LoadTimes, Request

from comfymesh.client import Task, TaskState, Timing

HEAD = "arrival_s,exec_s,tenant,model,num_lora,kind,images,steps\n"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.csv"
    path.write_text(HEAD + "".join(f"{100 * n},{6 * n},G{n},M{n % 2},{n},X,1,30\n" for n in range(1, 5)))
    return path


def test_a_slice_is_cut_out_of_the_trace(requests: Path) -> None:
    assert trace.read(requests, 1, 2) == [Request(200, 12, "G2", "M0", 2), Request(300, 18, "G3", "M1", 3)]
    with pytest.raises(ValueError, match="no 4 requests"):
        trace.read(requests, 1, 4)


def test_compressed_it_takes_the_share_of_the_gpus_that_is_asked_for(requests: Path) -> None:
    short = trace.compressed(trace.read(requests, 0, 4), speed=60, step=0.05, gpus=2, utilisation=0.5)
    assert [request.execution for request in short] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [request.arrival for request in short] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert sum(request.execution for request in short) / (2 * short[-1].arrival) == pytest.approx(0.5)


def test_a_load_time_is_of_the_file_and_of_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "loads.csv"
    path.write_text("quantile,seconds\n0.0,1\n0.5,2\n1.0,30\n")
    first, again = LoadTimes(path, 7), LoadTimes(path, 7)
    assert [first.of(name) for name in "abc"] == [again.of(name) for name in "cba"][::-1]
    assert {LoadTimes(path, 1).of(str(number)) for number in range(50)} == {1.0, 2.0, 30.0}


def test_the_graph_names_the_request_s_models_and_takes_its_time() -> None:
    graph = affinity.graph(Request(0, 0.4, "G1", "M1", 2))
    assert graph["1"]["inputs"]["ckpt_name"] == "M1.safetensors"
    assert graph["4"]["inputs"]["steps"] * affinity.STEP_SECONDS == pytest.approx(0.4)
    assert graph["4"]["inputs"]["model"] == ["lora-1", 0]
    assert graph["lora-1"]["inputs"]["model"] == ["lora-0", 0]
    assert graph["lora-0"]["inputs"]["model"] == ["1", 0]
    assert graph["lora-0"]["inputs"]["lora_name"] != graph["lora-1"]["inputs"]["lora_name"]


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


def test_a_ratio_above_one_means_that_the_policy_is_better(tmp_path: Path) -> None:
    courses = {"fifo": affinity.Course(8, 9, 9, 0.4, 70), "mesh": affinity.Course(2, 5, 6, 0.05, 10)}
    replayed = affinity.Slice(tmp_path, tmp_path, tmp_path)
    rows = dict(affinity.Affinity(replayed, courses, None).rows())
    assert rows[
        "**affinity** (240 requests, 4 emulators, utilisation 0.6): mean time to result, shorter than fifo"
    ] == ("**4.0 times**")
    assert rows["affinity: the same in the simulator"] == "not run"
