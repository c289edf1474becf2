from __future__ import annotations

import json

import pytest
from benchmarks.processes import Usage, cpu_ms_each
from benchmarks.progress import Sightings

from comfymesh.client import Progress


def _told(seen: Sightings, step: int, now: float) -> None:
    data = {"node": "4", "value": step, "max": 20, "prompt_id": "p"}
    seen.note(json.dumps({"type": "progress", "data": data}), now)


def test_a_latency_runs_from_the_event_to_the_progress_of_the_same_step() -> None:
    seen = Sightings()
    _told(seen, 1, 10.0)
    seen.receive(Progress(graph_node="4", step=1, step_count=20))
    seen.arrived = dict.fromkeys(seen.arrived, 10.004)
    assert seen.latencies() == pytest.approx([4.0])


def test_a_step_that_was_told_twice_counts_from_the_first_time() -> None:
    seen = Sightings()
    _told(seen, 1, 10.0)
    _told(seen, 1, 11.0)
    assert list(seen.sent.values()) == [10.0]


def test_a_step_counts_from_whichever_event_tells_it_first() -> None:
    seen = Sightings()
    running = {"value": 1, "max": 20, "state": "running"}
    begun = {"value": 0, "max": 1, "state": "running"}
    finished = {"value": 1, "max": 1, "state": "finished"}
    data = {"prompt_id": "p", "nodes": {"4": running, "1": finished, "2": begun}}
    seen.note(json.dumps({"type": "progress_state", "data": data}), 9.0)
    _told(seen, 1, 10.0)
    assert seen.sent == {("4", 1, 20): 9.0}


def test_a_step_that_never_arrived_has_no_latency() -> None:
    seen = Sightings()
    _told(seen, 1, 10.0)
    assert seen.latencies() == []


def test_progress_that_no_event_told_has_no_latency() -> None:
    seen = Sightings()
    seen.receive(Progress(graph_node="", step=0, step_count=0))
    assert seen.latencies() == []


def test_events_that_tell_no_step_are_not_noted() -> None:
    seen = Sightings()
    seen.note(json.dumps({"type": "status", "data": {}}), 10.0)
    assert not seen.sent


def test_gaps_lie_between_neighbouring_steps() -> None:
    seen = Sightings()
    for step, now in ((1, 1.0), (2, 1.1), (3, 1.3)):
        _told(seen, step, now)
    assert seen.gaps() == pytest.approx([100.0, 200.0])


def test_cpu_time_is_shared_out_among_the_tasks() -> None:
    before, after = {"api": Usage(1.0, 0)}, {"api": Usage(2.5, 0)}
    assert cpu_ms_each(before, after, 300) == pytest.approx({"api": 5.0})
