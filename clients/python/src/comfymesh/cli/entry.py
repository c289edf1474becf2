"""Where the command line begins. It takes half a second to import, in which a Ctrl-C ends it without a traceback."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Entry point of `comfymesh`."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What gRPC's engine remarks on its lines is for those who develop it; what went wrong we say ourselves.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from comfymesh.cli.main import main as run  # noqa: PLC0415  # only now: see above

    signal.signal(signal.SIGINT, handler)
    run()
