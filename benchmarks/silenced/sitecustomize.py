"""Python runs this at the start of a process that has this folder in PYTHONPATH: what we tell of ourselves is nothing.

So a mesh without telemetry can be measured beside one in which it is merely off. The calls stay, and do nothing.
"""

from __future__ import annotations

from contextlib import nullcontext

from comfymesh.telemetry import tracing
from comfymesh.telemetry.metrics import Metrics

_NOTHING = nullcontext()
_SPAN = tracing.Span()

tracing.begin = lambda *_, **__: _SPAN
tracing.current = lambda: ""
tracing.ids = dict
tracing.enter = lambda _: None
tracing.use = lambda _, **__: _NOTHING
tracing.part = lambda _: _NOTHING
tracing.parent = lambda _: None
tracing.trace_id = lambda _: {}
tracing.past = lambda *_: None
tracing.id_of = lambda _: 1

Metrics.add = lambda *_: None
Metrics.record = lambda *_, **__: None
Metrics.set = lambda *_: None
