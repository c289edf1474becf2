"""Ctrl-C while a process begins. Imports little: a second goes by until the rest of a service is imported."""

from __future__ import annotations

import signal


def quiet() -> None:
    """Let Ctrl-C end this process at once and without a traceback, until its event loop has taken the signal over.

    Nothing is begun by then that would have to be ended in order. Who has been told to ignore it goes on to.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
