"""How long graph nodes may be silent is learned from those that went on."""

from __future__ import annotations

from comfymesh.agent.comfyui.events import ExecutionStarted, NodeStarted, StepProgress
from comfymesh.agent.comfyui.pulse import Pace, Patience, Pulse

PATIENCE = Patience(unknown=900, floor=180, factor=5)
CLASSES = {"1": "Loader", "2": "Sampler"}


def test_what_was_hardly_seen_may_be_silent_for_long() -> None:
    pace = Pace(PATIENCE)
    assert pace.allowed("Sampler") == 900
    pace.learn("Sampler", 0.1)
    pace.learn("Sampler", 0.1)
    assert pace.allowed("Sampler") == 900


def test_what_was_seen_often_may_be_silent_for_some_times_its_longest_silence() -> None:
    pace = Pace(PATIENCE)
    for silence in (0.1, 0.2, 100.0, 0.1):
        pace.learn("Sampler", silence)
    assert pace.allowed("Sampler") == 500
    assert pace.allowed("Loader") == 900


def test_loading_a_model_is_silent_and_rare_so_there_is_a_least_time() -> None:
    pace = Pace(PATIENCE)
    for _ in range(1000):
        pace.learn("Sampler", 0.1)
    assert pace.allowed("Sampler") == 180


def test_a_class_that_is_slow_is_never_allowed_less_than_it_took() -> None:
    pace = Pace(PATIENCE)
    pace.learn("Video", 1000.0)
    assert pace.allowed("Video") == 5000


def test_what_can_not_be_heard_may_be_silent_for_long_and_not_for_ever() -> None:
    assert Pace(Patience(unheard=20_000)).allowed(None) == 20_000


def test_classes_are_forgotten_in_the_end() -> None:
    pace = Pace(PATIENCE)
    for _ in range(3):
        pace.learn("Sampler", 1.0)
    for number in range(5000):
        pace.learn(f"Other{number}", 1.0)
    assert pace.allowed("Sampler") == 900


def test_silence_belongs_to_the_graph_node_that_executes() -> None:
    pace, pulse = Pace(Patience(unknown=0, floor=0, factor=1)), Pulse(0.0, CLASSES)
    pulse.beat(ExecutionStarted("p"), 50.0, pace)
    pulse.beat(NodeStarted("p", "1", "1"), 51.0, pace)
    pulse.beat(NodeStarted("p", "2", "2"), 61.0, pace)
    pulse.beat(StepProgress("p", "2", 1, 4), 64.0, pace)
    assert (pace.allowed(""), pace.allowed("Loader"), pace.allowed("Sampler")) == (1.0, 10.0, 3.0)
    assert (pulse.heard, pulse.doing) == (64.0, "Sampler")


def test_waiting_in_the_queue_is_no_silence() -> None:
    pace, pulse = Pace(Patience(unknown=0, floor=0, factor=1)), Pulse(0.0, CLASSES)
    pulse.beat(ExecutionStarted("p"), 5000.0, pace)
    assert pace.allowed("") == 0
