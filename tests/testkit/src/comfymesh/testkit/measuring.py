"""Metrics and spans that a test can look at, as a service would have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.metrics import MeterProvider

from comfymesh.telemetry import catalogue, collecting, tracing
from comfymesh.telemetry.exposition import Exposition
from comfymesh.telemetry.instrument import Instrument
from comfymesh.telemetry.metrics import Metrics
from comfymesh.telemetry.spans import Finished, Recorder


@contextmanager
def measured(service: str) -> Iterator[tuple[Metrics, Exposition]]:
    """Metrics as they are bound in a service, and what Prometheus would read of them."""
    metrics = Metrics()
    exposition = Exposition(catalogue.BY_NAME, metrics)
    provider = MeterProvider(metric_readers=[exposition.reader], shutdown_on_exit=False)
    metrics.bind(provider.get_meter(collecting.SCOPE), catalogue.of(service))
    try:
        yield metrics, exposition
    finally:
        provider.shutdown()


def count(exposition: Exposition, histogram: Instrument) -> float:
    """How many values a histogram has, over all its series."""
    samples = (sample for family in exposition.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == f"{histogram.prometheus_name}_count")


@contextmanager
def recorded(ratio: float = 1.0) -> Iterator[list[Finished]]:
    """Spans that end meanwhile."""
    ended: list[Finished] = []
    before = tracing.record(Recorder(ratio, ended.append))
    try:
        yield ended
    finally:
        tracing.record(before)
