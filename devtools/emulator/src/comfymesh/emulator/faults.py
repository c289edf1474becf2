"""Failures on demand: how this instance shall misbehave.

Each name is a failure seen on real servers (ComfyUI protocol notes, sections 6 and 13). Faults are set by
``--fault NAME[=VALUE]`` at the start and by ``POST /emulator/faults`` while it runs. To add one: give it a name and
a sentence here, and ask for it where it acts.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Mapping
from enum import StrEnum


class Fault(StrEnum):
    """How an instance can misbehave. The value of a fault is a number; what it means is said with each."""

    DEAD_WORKER = "dead_worker"
    """The worker thread ends when the next graph node starts; HTTP and sockets stay fine. Value unused."""
    SILENT_SOCKET = "silent_socket"
    """Sockets stay open and nothing is sent on them any more, not even ``status``. Value unused."""
    REFUSE_WS = "refuse_ws"
    """New sockets are refused with 503. Value unused."""
    SLOW_START = "slow_start"
    """The port opens only after this many seconds. Acts at the start only."""
    EXIT_MID_RUN = "exit_mid_run"
    """The process exits at once, without a word, when a graph node reports this progress step (0: starts)."""
    IGNORED_INTERRUPT = "ignored_interrupt"
    """Interrupts are answered and have no effect. Value unused."""
    LOST_INTERRUPT = "lost_interrupt"
    """This many seconds pass between dequeue and start of a prompt, or less if it is switched off; an interrupt or a
    cancel in this time is lost."""
    STALL_IN_STEP = "stall_in_step"
    """The next progress step hangs for this many seconds, deaf to interrupts; then the fault is gone."""
    SLOW_STEPS = "slow_steps"
    """Each progress step takes this many seconds longer."""
    HTTP_STALL = "http_stall"
    """The interpreter is held for this many seconds, as by a native call; then the fault is gone."""
    DEAF_SOCKET = "deaf_socket"
    """Sockets that are open when it is switched on stay open and get nothing; later ones do. Value unused."""
    STUCK_READER = "stuck_reader"
    """For this many seconds nobody gets an event, as behind a reader that has stopped; then all come at once."""
    FORGETFUL_RESTART = "forgetful_restart"
    """The server goes away, and is back on its port after this many seconds without queue and history."""
    CRASH_AT_START = "crash_at_start"
    """The process exits this many seconds after its start, before its port opens. Acts at the start only."""
    OUT_OF_MEMORY = "out_of_memory"
    """The next graph node runs out of memory, in the spelling of this number (see ``raising.py``); then it is gone."""
    DEVICE_FAULT = "device_fault"
    """Every graph node fails with the same device error, that of this number from 1 on (see ``raising.py``), until the
    process is started again."""
    PARTIAL_OUTPUTS = "partial_outputs"
    """Of a prompt with several outputs the first is left out, with an error of its validation. Value unused."""
    EMPTY_OUTPUTS = "empty_outputs"
    """Prompts succeed, and history names nothing that they made, as for cached results before 0.28. Value unused."""
    VANISHED_FILES = "vanished_files"
    """Files that prompts made are gone when somebody asks for them. Value unused."""
    WIPED_TEMP = "wiped_temp"
    """Temporary files are gone before the next output is told, as when a second instance with this folder is started
    (section 13.8); then the fault is gone."""
    MEMORY_GROWTH = "memory_growth"
    """Each prompt leaves this many MiB behind, until the process is started again."""
    CLOCK_JUMP = "clock_jump"
    """The server's clock is wrong by this many seconds."""


class Faults:
    """The faults that are switched on. Safe to use from any thread.

    Args:
        initial: Faults from the start, with their values.
    """

    def __init__(self, initial: Mapping[Fault, float] | None = None) -> None:
        self._lock = threading.Lock()
        self._active = dict(initial or {})

    def is_on(self, fault: Fault) -> bool:
        """Tells whether a fault is on."""
        return fault in self._active

    def value(self, fault: Fault) -> float | None:
        """Returns the value of a fault, or None when it is off."""
        return self._active.get(fault)

    def clock(self) -> int:
        """Returns the time by the instance's clock, in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000 + int(1000 * (self.value(Fault.CLOCK_JUMP) or 0))

    def take(self, fault: Fault) -> float | None:
        """Returns the value of a fault and switches it off, or None when it is off."""
        with self._lock:
            return self._active.pop(fault, None)

    def replace(self, active: Mapping[Fault, float]) -> None:
        """Switches on exactly these faults."""
        with self._lock:
            self._active = dict(active)

    def as_json(self) -> dict[str, float]:
        """Returns the faults that are on, by name."""
        return {fault.value: value for fault, value in self._active.items()}


def parse_fault(text: str) -> tuple[Fault, float]:
    """Reads ``NAME`` or ``NAME=VALUE``.

    Raises:
        ValueError: No such fault, or the value is not a number.
    """
    name, _, value = text.partition("=")
    return Fault(name), float(value or 1)


def hold_interpreter(seconds: float) -> None:
    """Keeps every thread of this process from running Python for a while, as native calls of real nodes do."""
    # Functions of a PyDLL are called without releasing the interpreter lock.
    ctypes.PyDLL(None).usleep(ctypes.c_uint(int(seconds * 1_000_000)))
