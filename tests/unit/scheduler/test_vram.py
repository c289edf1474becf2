"""What is learned of the GPU memory that graphs need."""

from __future__ import annotations

from comfymesh.scheduler.domain.vram import Needs
from comfymesh.tasks.record import ModelFile

GIB = 2**30
MAKE = (("KSampler",), (ModelFile("CheckpointLoaderSimple", "ckpt_name", "a.safetensors"),))


def test_running_out_twice_is_believed_though_never_of_the_same() -> None:
    """What others leave on a shared GPU is another amount each time."""
    needs = Needs()
    assert not needs.ran_out(MAKE, 12 * GIB)
    assert needs.ran_out(MAKE, 10 * GIB + 1)
    assert needs.too_little(MAKE) == 10 * GIB + 1
    for number in range(100):
        needs.ran_out(MAKE, 4 * GIB + number)
    assert needs.too_little(MAKE) == 10 * GIB + 1
    assert len(needs._known[MAKE].ran_out) == 2  # what is kept of a make has a bound


def test_success_with_less_takes_that_back() -> None:
    needs = Needs()
    for _ in range(2):
        needs.ran_out(MAKE, 12 * GIB)
    assert needs.ran(MAKE, "a", 12 * GIB, GIB)
    assert needs.too_little(MAKE) == 0


def test_one_high_peak_is_forgotten_by_and_by_and_a_higher_one_counts_at_once() -> None:
    """It held what ComfyUI had kept of other tasks; for ever it would keep the make from sharing a GPU."""
    needs = Needs()
    needs.ran(MAKE, "a", 0, 40 * GIB)
    for _ in range(40):
        needs.ran(MAKE, "a", 0, 8 * GIB)
    assert 8 * GIB <= needs.peak(MAKE, "a") < 9 * GIB
    needs.ran(MAKE, "a", 0, 20 * GIB)
    assert needs.peak(MAKE, "a") == 20 * GIB


def test_a_node_that_names_another_gpu_class_each_time_fills_no_memory() -> None:
    needs = Needs()
    for number in range(1_000):
        needs.ran(MAKE, "a", 0, GIB)
        needs.ran(MAKE, f"gpu {number}", 0, GIB)
    assert len(needs._known[MAKE].peaks) <= 16
    assert needs.peak(MAKE, "a") == GIB  # who goes on running it is not forgotten
