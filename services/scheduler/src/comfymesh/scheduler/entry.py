"""Where the process of the scheduler begins."""

from __future__ import annotations

from comfymesh.runtime import interrupts


def main() -> None:
    """Entry point of `comfymesh-scheduler`."""
    interrupts.quiet()
    from comfymesh.scheduler.main import main as run  # noqa: PLC0415  # only now: it takes a second

    run()
