"""The health ladder: which step follows from what is seen, and when."""

from __future__ import annotations

import pytest

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.pulse import Sign
from comfymesh.agent.domain.ladder import (
    WAIT,
    Ask,
    Evict,
    Free,
    Ladder,
    Limits,
    Queue,
    Restart,
    Retire,
    Seen,
    Step,
    Stop,
)
from comfymesh.tasks.failures import FailureClass

OF_THE_INSTANCE = {FailureClass.DEVICE_FAULT, FailureClass.OUT_OF_MEMORY}
LIMITS = Limits(look=2, unanswered=60, grace=30, idle=30, stranger=120, memory_bytes=2**30, prompts=1000)


def sign(silence: float = 0.0, stopping: float | None = None, *, begun: bool = True, allowed: float = 100.0) -> Sign:
    return Sign("p", begun, silence, allowed, stopping)


def signs(silence: float = 0.0, stopping: float | None = None, *, begun: bool = True) -> Seen:
    return Seen(signs=(sign(silence, stopping, begun=begun),))


class Instance:
    """A ladder, and a clock that goes on by two seconds with each look."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.ladder = Ladder(limits)
        self.now = 1000.0

    def sees(self, seen: Seen) -> Step:
        self.now += 2
        return self.ladder.look(seen, self.now)

    def sees_for(self, seconds: float, seen: Seen) -> list[Step]:
        """Every step that is no waiting, while the same is seen for so long."""
        return [step for _ in range(int(seconds / 2)) if (step := self.sees(seen)) != WAIT]


@pytest.fixture
def instance() -> Instance:
    return Instance()


def test_what_is_well_is_left_alone(instance: Instance) -> None:
    seen = Seen(signs=(sign(50),), queue=Queue(frozenset({"p"})), memory_bytes=2**29, ended=999)
    assert instance.sees_for(10_000, seen) == []


# Silence.


def test_a_server_that_does_not_answer_is_waited_for_then_started_again(instance: Instance) -> None:
    assert instance.sees(Seen(unanswered=59)) == WAIT
    assert instance.sees(Seen(unanswered=60)) == Restart(FailureClass.INSTANCE_LOST, "it has answered nothing for 60 s")


def test_a_server_that_refuses_connections_is_gone_at_once(instance: Instance) -> None:
    assert isinstance(instance.sees(Seen(unanswered=0.1, refused=True)), Restart)


def test_a_prompt_may_be_silent_as_long_as_is_usual_for_it(instance: Instance) -> None:
    assert instance.sees(signs(100)) == WAIT
    assert instance.sees(signs(101)) == Ask("p")


def test_a_prompt_that_has_not_begun_may_wait_for_ever(instance: Instance) -> None:
    assert instance.sees_for(100, signs(1e9, begun=False)) == []


def test_what_comfyui_still_executes_is_stopped_and_has_stalled(instance: Instance) -> None:
    asked = sign(101)
    assert instance.ladder.told(asked, Standing.RUNNING) == Stop(
        "p", "it was silent for 101 s, 100 s are usual at most"
    )


@pytest.mark.parametrize("standing", [Standing.PENDING, Standing.ENDED, Standing.UNKNOWN])
def test_what_comfyui_does_not_execute_is_left_to_whoever_follows_it(instance: Instance, standing: Standing) -> None:
    assert instance.ladder.told(sign(101), standing) == WAIT


# Moments in which nothing could be seen.


def test_a_server_that_stood_still_makes_no_prompt_stuck(instance: Instance) -> None:
    instance.sees(Seen(unanswered=50, signs=(sign(150),)))
    assert instance.sees_for(100, signs(150)) == []
    assert instance.sees(signs(250)) == Ask("p")


def test_an_agent_that_stood_still_sees_everything_anew(instance: Instance) -> None:
    instance.now += 3600
    assert instance.ladder.look(Seen(late=3600, signs=(sign(3600),)), instance.now) == WAIT
    assert instance.sees_for(100, signs(3700)) == []
    assert instance.sees(signs(3700)) == Ask("p")


# Insisting.


def test_a_prompt_that_does_not_stop_costs_memory_then_the_instance(instance: Instance) -> None:
    assert instance.sees(signs(stopping=30)) == WAIT
    assert instance.sees(signs(stopping=31)) == Free("a prompt does not stop")
    assert instance.sees_for(30, signs(stopping=40)) == []
    step = instance.sees(signs(stopping=62))
    assert step == Restart(FailureClass.STALLED, "a prompt was asked to stop 62 s ago and is still executed")


def test_one_that_stops_after_all_costs_nothing_more(instance: Instance) -> None:
    assert instance.sees(signs(stopping=31)) == Free("a prompt does not stop")
    assert instance.sees_for(100, Seen()) == []
    assert instance.sees(signs(stopping=31)) == Free("a prompt does not stop")


def test_prompts_that_wait_while_none_is_executed_show_a_dead_worker(instance: Instance) -> None:
    dead = Seen(queue=Queue(waiting=frozenset({"p"})), signs=(sign(begun=False),))
    assert instance.sees_for(30, dead) == []
    steps = instance.sees_for(4, dead)
    assert steps[-1] == Restart(FailureClass.STALLED, "prompts wait, and it has executed none for 30 s")


def test_an_idle_instance_is_no_dead_one(instance: Instance) -> None:
    assert instance.sees_for(1000, Seen(queue=Queue())) == []


# What nobody follows.


def strange(executing: str = "s") -> Seen:
    return Seen(queue=Queue(executing=frozenset({executing})))


def test_a_prompt_that_nobody_follows_is_stopped_in_the_end(instance: Instance) -> None:
    assert instance.sees_for(120, strange()) == []
    assert instance.sees_for(4, strange()) == [Evict("s")]
    assert instance.sees_for(30, strange()) == []
    assert instance.sees_for(100, strange())[0] == Free("a prompt does not stop")


def test_a_look_without_the_queue_does_not_begin_anew_with_a_prompt_that_does_not_stop(instance: Instance) -> None:
    assert instance.sees_for(124, strange()) == [Evict("s")]
    assert instance.sees_for(34, strange()) == [Free("a prompt does not stop")]
    assert instance.sees_for(30, Seen()) == []
    assert isinstance(instance.sees(strange()), Restart)


def test_somebody_elses_instance_executes_what_they_like() -> None:
    instance = Instance(Limits(stranger=None))
    assert instance.sees_for(10_000, strange()) == []


def test_prompts_of_others_that_come_and_go_are_no_strangers(instance: Instance) -> None:
    assert [step for i in range(500) if (step := instance.sees(strange(f"s{i // 50}"))) != WAIT] == []


# Growing, wearing out, failing.


def test_memory_is_freed_first_and_then_the_instance_retires(instance: Instance) -> None:
    full = Seen(memory_bytes=2**31)
    reason = "it holds 2048 MiB of memory, more than 1024"
    assert instance.sees(full) == Free(reason)
    assert instance.sees_for(30, full) == []
    assert instance.sees(full) == Retire(reason)


def test_memory_that_was_given_back_is_no_reason(instance: Instance) -> None:
    assert isinstance(instance.sees(Seen(memory_bytes=2**31)), Free)
    assert instance.sees_for(100, Seen(memory_bytes=2**29)) == []


def test_only_memory_that_was_looked_at_since_is_a_reason_to_retire(instance: Instance) -> None:
    full, unseen = Seen(memory_bytes=2**31), Seen()
    assert isinstance(instance.sees(full), Free)
    assert instance.sees_for(100, unseen) == []
    assert isinstance(instance.sees(full), Retire)


def test_an_instance_retires_after_so_many_prompts(instance: Instance) -> None:
    assert instance.sees(Seen(ended=1000)) == Retire("it has executed 1000 prompts")


def test_a_device_fault_ends_the_process(instance: Instance) -> None:
    assert instance.ladder.failed(FailureClass.DEVICE_FAULT) == Restart(
        FailureClass.DEVICE_FAULT, "its GPU has failed for this process"
    )


def test_out_of_memory_frees_memory_and_in_a_row_is_worth_a_fresh_start(instance: Instance) -> None:
    ladder = instance.ladder
    assert isinstance(ladder.failed(FailureClass.OUT_OF_MEMORY), Free)
    assert isinstance(ladder.failed(FailureClass.OUT_OF_MEMORY), Free)
    assert ladder.failed(FailureClass.OUT_OF_MEMORY) == Retire("3 prompts in a row ran out of memory")


def test_a_success_in_between_breaks_the_row(instance: Instance) -> None:
    for _ in range(10):
        assert isinstance(instance.ladder.failed(FailureClass.OUT_OF_MEMORY), Free)
        instance.ladder.succeeded()


@pytest.mark.parametrize("failure", [failure for failure in FailureClass if failure not in OF_THE_INSTANCE])
def test_other_failures_say_nothing_about_the_instance(instance: Instance, failure: FailureClass) -> None:
    assert instance.ladder.failed(failure) == WAIT
