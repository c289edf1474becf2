"""What an attempt took, by how it ended; and who is charged with it."""

from __future__ import annotations

import pytest

from comfymesh.tasks import events, usage
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import ModelFile, Requirements, Timing
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued

TIMING = Timing(2.0, 3.0, gpu_class="rtx")


@pytest.mark.parametrize(
    ("ends", "outcome", "seconds", "charged"),
    [
        ([events.Succeeded((), timing=TIMING)], "SUCCEEDED", 5.0, True),
        # Nobody saw: until the log heard of it.
        ([events.Succeeded(())], "SUCCEEDED", 9.0, True),
        ([failed(FailureClass.NODE_LOST)], "NODE_LOST", 9.0, False),
        ([failed(FailureClass.PREEMPTED)], "PREEMPTED", 9.0, False),
        ([failed(FailureClass.OUT_OF_MEMORY)], "OUT_OF_MEMORY", 9.0, True),
        ([events.CancelRequested(), events.Cancelled(TIMING)], "CANCELLED", 5.0, True),
        ([events.CancelRequested(), events.AttemptFailed(failed().error, TIMING)], "CANCELLED", 5.0, True),
        ([events.CancelRequested(), events.Released("back")], "CANCELLED", 9.0, True),
    ],
)
def test_an_attempt_took(ends: list[events.Event], outcome: str, seconds: float, charged: bool) -> None:  # noqa: FBT001
    record = after(queued(), assigned(), events.Started(NOW))
    for event in ends:
        record = after(record, event, now=NOW + 9)
    used = usage.of_record(record)
    assert used is not None
    assert (used.outcome, used.seconds, used.charged, used.node) == (outcome, seconds, charged, "a")
    assert usage.charged_seconds(record) == (seconds if charged else 0.0)


def test_an_agent_is_believed_within_bounds() -> None:
    record = after(queued(), assigned(), events.Started(NOW), events.Succeeded((), timing=Timing(3e11, -1.0)))
    assert usage.charged_seconds(record) == usage.MOST_SECONDS


def test_what_was_handed_back_took_nothing() -> None:
    used = usage.of_record(after(queued(), assigned(), events.Released("back"), now=NOW + 9))
    assert used is not None
    assert (used.outcome, used.seconds, used.charged) == ("RELEASED", 0.0, False)


@pytest.mark.parametrize("happened", [[], [assigned()], [assigned(), events.Started()], [events.CancelRequested()]])
def test_nothing_ends_an_attempt_but_its_end(happened: list[events.Event]) -> None:
    assert usage.of_record(after(queued(), *happened)) is None


def test_a_note_behind_the_end_ends_nothing_again() -> None:
    record = after(queued(), assigned(), failed())
    resolved = after(record, events.Resolved(events.Resolution.DROPPED))
    assert usage.of_record(resolved) is None
    assert usage.charged_seconds(resolved) == usage.charged_seconds(record)


def test_loras_are_no_part_of_a_model_set() -> None:
    models = (
        ModelFile("LoraLoader", "lora_name", "style.safetensors"),
        ModelFile("CheckpointLoaderSimple", "ckpt_name", "b.safetensors"),
        ModelFile("VAELoader", "vae_name", "a.safetensors"),
        ModelFile("CheckpointLoaderSimple", "ckpt_name", "b.safetensors"),
    )
    record = queued(requirements=Requirements(models=models))
    assert usage.model_set(record) == ("a.safetensors", "b.safetensors")
