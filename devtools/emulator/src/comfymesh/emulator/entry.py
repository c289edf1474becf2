"""Where the emulator's process begins."""

from __future__ import annotations

from comfymesh.runtime import interrupts


def main() -> None:
    """Entry point of `comfymesh-emulator`."""
    interrupts.quiet()
    from comfymesh.emulator.main import main as run  # noqa: PLC0415  # only now: it takes a second

    run()
