"""Where the agent's process begins: with what must not wait until the rest is imported, which takes a second."""

from __future__ import annotations

import signal
import sys

from comfymesh.runtime import interrupts


def main() -> None:
    """Entry point of `comfymesh-agent`. Without arguments, the agent runs."""
    interrupts.quiet()
    if not sys.argv[1:]:
        # SIGHUP waits for the handler of whoever asks for other settings. Until there is one, it would end the agent.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from comfymesh.agent.main import main as run  # noqa: PLC0415  # only now: see above

    run()
