"""Which of gRPC's two engines for sockets a process of ours has (ADR 62)."""

from __future__ import annotations

import os

EXPERIMENTS = "-event_engine_client,-event_engine_listener"
"""The thread that waits for gRPC's events also reads its sockets. By default (grpcio 1.85) threads of an event engine
do that, and hand what they have read to that thread, which hands it to the event loop: one hop between threads more."""


def choose() -> None:
    """Choose it for this process, unless its environment says something else.

    It has no effect once grpc has been imported, which reads the environment only then. So a package whose processes
    want it calls this before everything else.
    """
    os.environ.setdefault("GRPC_EXPERIMENTS", EXPERIMENTS)
