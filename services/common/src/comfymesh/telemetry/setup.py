"""Starts and stops the OpenTelemetry SDK of a process."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import version
from uuid import uuid4

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from comfymesh.telemetry import catalogue, collecting, tracing
from comfymesh.telemetry.exposition import Exposition
from comfymesh.telemetry.metrics import METRICS
from comfymesh.telemetry.otlp import Sender
from comfymesh.telemetry.spans import Recorder

logger = logging.getLogger(__name__)

_TIMEOUT = 2.0
"""Seconds for one export. A collector that is down must not hold up the stop of a service."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be told, and where.

    Attributes:
        service: Name of the service.
        endpoint: OTLP/gRPC endpoint for traces and metrics; empty for none.
        ratio: Share of new traces that are recorded.
        listen: host:port on which metrics are shown to Prometheus; empty for nowhere.
    """

    service: str
    endpoint: str = ""
    ratio: float = 1.0
    listen: str = ""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The running SDK; nothing in it where telemetry is off."""

    spans: Sender | None = None
    meters: MeterProvider | None = None
    exposition: Exposition | None = None

    def stop(self) -> None:
        """Send what was recorded, and end."""
        if self.exposition is not None:
            self.exposition.close()
        if self.spans is not None:
            tracing.record(None)
            self.spans.stop()
        if self.meters is not None:
            self.meters.shutdown()


def start(plan: Plan) -> Telemetry:
    """Tell what this process does, as planned; nothing where nothing is planned.

    Raises:
        OSError: the address for Prometheus can't be used.
    """
    resource = Resource.create(
        {
            "service.name": f"comfymesh-{plan.service}",
            "service.instance.id": str(uuid4()),
            "service.version": version("comfymesh-common"),
        }
    )
    exposition = _show(plan.listen) if plan.listen else None
    spans = _trace(plan, resource) if plan.endpoint else None
    return Telemetry(spans, _measure(plan, resource, exposition), exposition)


def _show(listen: str) -> Exposition:
    exposition = Exposition(catalogue.BY_NAME, METRICS)
    host, _, port = listen.rpartition(":")
    exposition.listen(host.strip("[]"), int(port))
    logger.info("metrics are on port %d", exposition.port, extra={"action": "metrics_shown", "port": exposition.port})
    return exposition


def _trace(plan: Plan, resource: Resource) -> Sender:
    sender = Sender(plan.endpoint, insecure=_is_plain(plan.endpoint), timeout=_TIMEOUT, resource=resource)
    tracing.record(Recorder(plan.ratio, sender.send))
    return sender


def _measure(plan: Plan, resource: Resource, exposition: Exposition | None) -> MeterProvider | None:
    readers = list[MetricReader]()
    if exposition is not None:
        readers.append(exposition.reader)
    if plan.endpoint:
        exporter = collecting.Exporter(endpoint=plan.endpoint, insecure=_is_plain(plan.endpoint), timeout=_TIMEOUT)
        exporter.metrics = METRICS
        readers.append(PeriodicExportingMetricReader(exporter))
    if not readers:
        return None
    meters = MeterProvider(metric_readers=readers, resource=resource)
    metrics.set_meter_provider(meters)
    METRICS.bind(meters.get_meter(collecting.SCOPE), catalogue.of(plan.service))
    return meters


def _is_plain(endpoint: str) -> bool:
    return not endpoint.startswith("https:")
