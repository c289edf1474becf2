"""Records what a process measures: an addition in a dictionary, or in the cells of a histogram.

OpenTelemetry reads it when it collects. Everything is recorded by the thread of the event loop; collectors have threads
of their own and read copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import isfinite
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from comfymesh.telemetry.cells import Cells
from comfymesh.telemetry.instrument import Attribute, Instrument, Kind
from comfymesh.telemetry.leaders import Leaders, largest

_MOST = 1 << 63

Labels = tuple[str, ...]
"""Values of an instrument's attributes, in the order in which it declares them."""


class Metrics:
    """What one process measures. Nothing is kept until it is bound to a meter.

    Attributes:
        enabled: Whether somebody collects.
    """

    def __init__(self) -> None:
        self.enabled = False
        self._counts: dict[Instrument, dict[Labels, float]] = {}
        self._levels: dict[Instrument, dict[Labels, float]] = {}
        self._histograms: dict[Instrument, dict[Labels, Cells]] = {}
        self._open: set[Instrument] = set()
        self._leaders: dict[Attribute, Leaders] = {}

    def bind(self, meter: Meter, instruments: Iterable[Instrument]) -> None:
        """From now on these are kept, and read through `meter`. Counters begin at 0 for all that is known beforehand.

        So a rate over something that has not happened yet is 0, and not nothing.
        """
        for instrument in instruments:
            for attribute in instrument.attributes:
                if not attribute.is_closed:
                    self._leaders.setdefault(attribute, Leaders(attribute.most))
                    self._open.add(instrument)
            self._make(instrument, meter)
        self.enabled = True

    def add(self, counter: Instrument, amount: float, *labels: str) -> None:
        """Count something. What is not finite is left out: nothing could be added to it any more."""
        counts = self._counts.get(counter)
        if counts is None or not isfinite(amount):
            return
        told = self._told(counter, labels)
        if told not in counts and len(counts) >= counter.most_series:
            self._forget_former(counter, counts)
        counts[told] = counts.get(told, 0.0) + amount

    def record(self, histogram: Instrument, value: float, *labels: str, context: Context | None = None) -> None:
        """Sort a value into its bucket. The sampled span in `context`, or the present one, may become its exemplar."""
        series = self._histograms.get(histogram)
        if series is None:
            return
        told = self._told(histogram, labels)
        cells = series.get(told)
        if cells is None:
            if len(series) >= histogram.most_series:
                self._forget_former(histogram, series)
            cells = series[told] = Cells(histogram.buckets)
        cells.take(max(value, 0.0), context)

    def set(self, gauge: Instrument, levels: Mapping[Labels, float]) -> None:
        """How things stand. What is not told any more is not there any more."""
        if gauge in self._levels:
            self._levels[gauge] = self._bounded(gauge, levels)

    def level(self, instrument: Instrument, *labels: str) -> float | None:
        """What has been counted, or how a gauge stands; None for a series that is not there."""
        return {**self._counts, **self._levels}.get(instrument, {}).get(labels)

    def series(self, instrument: Instrument) -> dict[Labels, float]:
        """Every series of a counter or gauge as it stands."""
        if instrument in self._counts:
            self._forget_former(instrument, self._counts[instrument])
        return dict({**self._counts, **self._levels}.get(instrument, {}))

    def histograms(self) -> dict[Instrument, dict[Labels, Cells]]:
        """Every series of every histogram. Its cells go on being filled."""
        return {histogram: dict(series) for histogram, series in self._histograms.items()}

    def _make(self, instrument: Instrument, meter: Meter) -> None:
        name, unit, told = instrument.name, instrument.unit, instrument.description
        read: Callable[[CallbackOptions], Iterable[Observation]] = partial(self._observe, instrument)
        match instrument.kind:
            case Kind.COUNTER:
                self._counts[instrument] = dict.fromkeys(instrument.known(), 0.0)
                meter.create_observable_counter(name, [read], unit, told)
            case Kind.UP_DOWN:
                self._levels[instrument] = {}
                meter.create_observable_up_down_counter(name, [read], unit, told)
            case Kind.GAUGE:
                self._levels[instrument] = {}
                meter.create_observable_gauge(name, [read], unit, told)
            case Kind.HISTOGRAM:
                self._histograms[instrument] = {}

    def _observe(self, instrument: Instrument, _: CallbackOptions) -> list[Observation]:
        known = self._counts.get(instrument) or self._levels.get(instrument) or {}
        # `list` of a dictionary's items is one step of the interpreter: nobody changes it meanwhile.
        # Larger whole numbers than OTLP has would cost all that is sent with them.
        return [
            Observation(value if abs(value) < _MOST else float(value), attributes(instrument, labels))
            for labels, value in list(known.items())
        ]

    def _told(self, instrument: Instrument, labels: Labels) -> Labels:
        if instrument not in self._open:
            return labels
        pairs = zip(instrument.attributes, labels, strict=True)
        return tuple(value if a.is_closed else self._leaders[a].label(value) for a, value in pairs)

    def _forget_former(self, instrument: Instrument, series: dict[Labels, Any]) -> None:
        """Drop the series of values that are not told apart any more."""
        for labels in list(series):
            pairs = zip(instrument.attributes, labels, strict=True)
            if not all(attribute.is_closed or value in self._leaders[attribute] for attribute, value in pairs):
                del series[labels]

    def _bounded(self, gauge: Instrument, levels: Mapping[Labels, float]) -> dict[Labels, float]:
        """At most as many series as the gauge may have. Only its first attribute may be open."""
        if not gauge.attributes or gauge.attributes[0].is_closed:
            return dict(levels)
        parts: dict[Labels, dict[str, float]] = {}
        for (value, *others), level in levels.items():
            parts.setdefault(tuple(others), {})[value] = level
        rest = max if gauge.rest == "max" else sum
        return {
            (value, *others): level
            for others, part in parts.items()
            for value, level in largest(part, gauge.attributes[0].most, rest).items()
        }


def attributes(instrument: Instrument, labels: Labels) -> dict[str, str]:
    """What tells a series apart, by name."""
    return {attribute.name: value for attribute, value in zip(instrument.attributes, labels, strict=True)}


METRICS = Metrics()
"""What this process measures."""
