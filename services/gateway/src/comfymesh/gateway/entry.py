"""Where the process of the gateway begins."""

from __future__ import annotations

from comfymesh.runtime import interrupts


def main() -> None:
    """Entry point of `comfymesh-gateway`."""
    interrupts.quiet()
    from comfymesh.gateway.main import main as run  # noqa: PLC0415  # only now: it takes a second

    run()
