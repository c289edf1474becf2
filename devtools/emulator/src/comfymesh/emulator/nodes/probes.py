"""Test nodes that take time, fail or misbehave as told (ComfyUI protocol notes, section 18)."""

from __future__ import annotations

import math
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from comfymesh.emulator.faults import hold_interpreter
from comfymesh.emulator.node_run import InterruptedRunError, NodeRun, WorkerEndError
from comfymesh.emulator.pictures import noisy
from comfymesh.emulator.raising import OutOfMemoryError
from comfymesh.emulator.schema import (
    InputDefinition,
    NodeDefinition,
    RunNode,
    flag,
    integer,
    number,
    text,
)
from comfymesh.emulator.values import Blocked, Expansion, Inputs, Outcome
from comfymesh.graphs import JsonValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_EXPANDED_STEPS, _EXPANDED_SECONDS = 2, 0.12
_LOOK_SECONDS = 0.02


def _sleep_steps(run: NodeRun, inputs: Inputs) -> Outcome:
    steps, fail_at = inputs.integer("steps"), inputs.integer("fail_at_step")
    shown = Image.new("RGB", (256, 256), (90, 120, 150))
    for step in range(1, steps + 1):
        run.instance.sleep(inputs.number("seconds_per_step"))
        if step == fail_at:
            raise RuntimeError(f"probe: asked to fail at step {step}")
        preview = noisy(shown, 1 - step / steps, step) if inputs.flag("preview") else None
        run.report(step, steps, preview)
    return Outcome((inputs.images("image"),))


def _block(run: NodeRun, inputs: Inputs) -> Outcome:
    seconds = inputs.number("seconds")
    if inputs.flag("hold_gil"):
        hold_interpreter(seconds)
    else:
        run.instance.sleep(seconds)
    return Outcome((inputs.images("image"),))


def _wait(run: NodeRun, inputs: Inputs) -> Outcome:
    opened = Path(inputs.text("path"))
    while not opened.exists():
        run.instance.check_interrupted()
        run.instance.sleep(_LOOK_SECONDS)
    return Outcome((inputs.images("image"),))


_RAISED: Mapping[str, Callable[[], BaseException]] = {
    "runtime": lambda: RuntimeError("probe: deliberate failure"),
    "value": lambda: ValueError("probe: bad value"),
    "assert": lambda: AssertionError("probe: assertion"),
    "keyerror": lambda: KeyError("probe-missing-key"),
    "unicode": lambda: RuntimeError('probe: ünïçödé ☃ 💥 "quotes"\nsecond line'),
    "oom_torch": lambda: OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB (probe)."),
    "oom_text": lambda: RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB (probe)."),
    "cuda_text": lambda: RuntimeError("CUDA error: an illegal memory access was encountered (probe)"),
    "memoryerror": lambda: MemoryError("probe: host memory"),
    "interrupt": InterruptedRunError,
    "system_exit": WorkerEndError,
    "keyboard_interrupt": WorkerEndError,
}


def _raise(run: NodeRun, inputs: Inputs) -> Outcome:
    run.instance.sleep(inputs.number("delay"))
    kind = inputs.text("kind")
    if kind in {"os_exit", "abort"}:
        run.instance.crash(77)
        raise WorkerEndError
    if kind in _RAISED:
        failure = _RAISED[kind]()
        raise failure
    return Outcome((inputs.images("image"),))


def _allocate(run: NodeRun, inputs: Inputs) -> Outcome:
    held = bytearray(os.urandom(1024)) * (1024 * inputs.integer("megabytes"))
    run.instance.sleep(inputs.number("seconds"))
    del held
    return Outcome((inputs.images("image"),))


def _show(_run: NodeRun, inputs: Inputs) -> Outcome:
    shown: Mapping[str, Mapping[str, object]] = {
        "text": {"text": ["probe", inputs.text("nonce")]},
        "big": {"text": ["x" * 1_000_000]},
        "nan": {"values": [math.nan]},
        "not_json": {"values": [object()]},
        "empty": {},
    }
    return Outcome((), shown.get(inputs.text("kind")))


def _blocker(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((Blocked(inputs.text("message")) if inputs.flag("block") else inputs.images("image"),))


def _async(run: NodeRun, inputs: Inputs) -> Outcome:
    steps = inputs.integer("steps")
    for step in range(1, steps + 1):
        run.instance.sleep(inputs.number("seconds_per_step"))
        run.show_text(f"step {step}")
        run.report(step, steps, None)
    return Outcome((inputs.images("image"),))


def _never(_run: NodeRun, inputs: Inputs) -> Outcome:
    return Outcome((inputs.images("image"),))


def _expand(_run: NodeRun, inputs: Inputs) -> Outcome:
    count = inputs.integer("count")
    nodes = {}
    source: object = inputs.images("image")
    for index in range(1, count + 1):
        nodes[str(index)] = (
            "ProbeSleepSteps",
            {
                "image": source,
                "steps": _EXPANDED_STEPS,
                "seconds_per_step": _EXPANDED_SECONDS,
                "preview": False,
                "nonce": inputs.text("nonce"),
            },
        )
        source = [str(index), 0]
    return Outcome(expansion=Expansion(nodes, ((str(count), 0),)))


def _kinds(*kinds: str) -> InputDefinition:
    # Without settings, as the test nodes of a real ComfyUI are written.
    return [list[JsonValue](kinds)]


def _probe(
    name: str,
    run: RunNode,
    required: Mapping[str, InputDefinition],
    optional: Mapping[str, InputDefinition] | None = None,
    *,
    output_node: bool = False,
) -> NodeDefinition:
    return NodeDefinition(
        name,
        run,
        {"image": ["IMAGE"], **required},
        {**(optional or {}), "nonce": text()},
        hidden={"unique_id": "UNIQUE_ID"} if name == "ProbeAsync" else {},
        outputs=() if output_node else ("IMAGE",),
        category="probe",
        module="custom_nodes.probe",
        output_node=output_node,
        fingerprint=(lambda _run, _inputs: uuid.uuid4().hex) if name == "ProbeNever" else None,
    )


PROBE_NODES = (
    _probe(
        "ProbeSleepSteps",
        _sleep_steps,
        {
            "steps": integer(10, 1, 100000, None),
            "seconds_per_step": number(0.1, 0.0, 600.0, 0.001),
            "preview": flag(default=False),
        },
        {"fail_at_step": integer(0, 0, 100000, None)},
    ),
    _probe("ProbeBlock", _block, {"seconds": number(1.0, 0.0, 3600.0, None), "hold_gil": flag(default=False)}),
    _probe("ProbeGate", _wait, {"path": text()}),
    _probe(
        "ProbeRaise",
        _raise,
        {"kind": _kinds("none", *_RAISED, "os_exit", "abort"), "delay": number(0.0, 0.0, 600.0, None)},
    ),
    _probe(
        "ProbeAlloc",
        _allocate,
        {"megabytes": integer(100, 1, 4096, None), "seconds": number(0.0, 0.0, 600.0, None)},
    ),
    _probe("ProbeUI", _show, {"kind": _kinds("none", "text", "big", "nan", "not_json", "empty")}, output_node=True),
    _probe("ProbeBlocker", _blocker, {"block": flag(default=True), "message": text("probe: blocked")}),
    _probe(
        "ProbeAsync",
        _async,
        {"steps": integer(3, 1, 1000, None), "seconds_per_step": number(0.15, 0.0, 60.0, None)},
    ),
    _probe("ProbeNever", _never, {}),
    _probe("ProbeExpand", _expand, {"count": integer(2, 1, 20, None)}),
)
