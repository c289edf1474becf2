"""Keeps what this process knows from others of the same user."""

from __future__ import annotations

import ctypes
import logging
import os

logger = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4


def seal() -> None:
    """Let no other process of our user read our environment and memory, where the password of NATS is.

    A ComfyUI of the runtime `process` runs as the agent's user, and so does whatever is in its custom nodes. The seal
    does not outlive the start of another program, so they are not sealed (prctl(2), PR_SET_DUMPABLE).
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        error = os.strerror(ctypes.get_errno())
        logger.warning("processes of this user can read the agent's settings: %s", error, extra={"action": "no_seal"})
