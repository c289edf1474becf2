"""Hands the caller's trace on, where the caller traces: OpenTelemetry is used if it is installed, and not asked for."""

from __future__ import annotations

try:
    from opentelemetry.propagate import inject
except ImportError:  # the caller does not trace
    inject = None  # type: ignore[assignment]  # stands for its absence

_TAKEN = ("traceparent", "tracestate")


def metadata() -> tuple[tuple[str, str], ...]:
    """What says in a call which span of the caller it is made from; nothing where there is none."""
    if inject is None:
        return ()
    carrier: dict[str, str] = {}
    inject(carrier)
    return tuple((name, carrier[name]) for name in _TAKEN if name in carrier)
