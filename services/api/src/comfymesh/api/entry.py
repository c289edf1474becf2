"""Where a process of the API begins."""

from __future__ import annotations

from comfymesh.runtime import interrupts


def main() -> None:
    """Entry point of `comfymesh-api`."""
    interrupts.quiet()
    from comfymesh.api.main import main as run  # noqa: PLC0415  # only now: it takes a second

    run()
