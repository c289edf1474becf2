"""Where the command line begins. It takes half a second to import, in which a Ctrl-C ends it without a traceback."""

from __future__ import annotations

import signal


def main() -> None:
    """Entry point of `comfymesh`."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from comfymesh.cli.main import main as run  # noqa: PLC0415  # only now: see above

    signal.signal(signal.SIGINT, handler)
    run()
