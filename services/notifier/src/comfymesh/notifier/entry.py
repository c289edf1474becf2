"""Where the process of the notifier begins."""

from __future__ import annotations

from comfymesh.runtime import interrupts


def main() -> None:
    """Entry point of `comfymesh-notifier`."""
    interrupts.quiet()
    from comfymesh.notifier.main import main as run  # noqa: PLC0415  # only now: it takes a second

    run()
