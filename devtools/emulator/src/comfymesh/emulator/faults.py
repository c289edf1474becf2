"""Failures on demand: how this instance shall misbehave.

Each name is a failure seen on real servers (ComfyUI protocol notes, sections 6 and 13). Faults are set by
``--fault NAME[=VALUE]`` at the start and by ``POST /emulator/faults`` while it runs. To add one: give it a name and
a sentence here, and ask for it where it acts.
"""

from __future__ import annotations

import ctypes
import threading
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
    """This many seconds pass between dequeue and start of a prompt; an interrupt or cancel meanwhile is lost."""
    STALL_IN_STEP = "stall_in_step"
    """The next progress step hangs for this many seconds, deaf to interrupts; then the fault is gone."""
    HTTP_STALL = "http_stall"
    """The interpreter is held for this many seconds, as by a native call; then the fault is gone."""


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
