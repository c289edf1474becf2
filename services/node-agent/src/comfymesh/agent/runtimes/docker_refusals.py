"""What the Docker Engine means when it refuses: it answers in prose, and mostly with status 500."""

from __future__ import annotations

from comfymesh.agent.runtimes.contract import RuntimeFailureReason

_REASONS: tuple[tuple[str, RuntimeFailureReason], ...] = (
    ("address already in use", RuntimeFailureReason.PORT_TAKEN),
    ("port is already allocated", RuntimeFailureReason.PORT_TAKEN),
    ("could not select device driver", RuntimeFailureReason.GPU_UNAVAILABLE),
    ("nvidia-container-cli", RuntimeFailureReason.GPU_UNAVAILABLE),
    ("unresolvable CDI devices", RuntimeFailureReason.GPU_UNAVAILABLE),
    ("no space left on device", RuntimeFailureReason.DISK_FULL),
    ("no such image", RuntimeFailureReason.IMAGE_MISSING),
    ("bind source path does not exist", RuntimeFailureReason.MODELS_MISSING),
    ("executable file not found", RuntimeFailureReason.COMMAND_NOT_FOUND),
    ("no such file or directory: unknown", RuntimeFailureReason.COMMAND_NOT_FOUND),
    ("is already in use by container", RuntimeFailureReason.NAME_TAKEN),
)
"""Pieces of what engines 20.10 and later answer, the most telling first."""


def reason_of(refusal: str) -> RuntimeFailureReason:
    """Return the reason behind the engine's words; `ENGINE_REFUSED` when they are not known."""
    text = refusal.lower()
    return next((reason for piece, reason in _REASONS if piece.lower() in text), RuntimeFailureReason.ENGINE_REFUSED)
