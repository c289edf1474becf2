"""docs/metrics.md, made from the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comfymesh.telemetry import catalogue
from comfymesh.telemetry.instrument import Attribute, Instrument

_HEAD = """# Metrics

<!-- Made by `make docs` from services/common/src/comfymesh/telemetry/catalogue.py. Change that. -->

Each service shows its metrics to Prometheus where `COMFYMESH_METRICS_LISTEN` says (for instance `127.0.0.1:9464`; while
it is empty, nowhere), and sends them by OTLP where `COMFYMESH_OTLP_ENDPOINT` names a collector: that is for hosts that
open no port.

Names and units are those of OpenTelemetry's semantic conventions where these have some. Prometheus shows dots as `_`,
appends the unit, and `_total` to counters.

What happened to tasks is counted by the scheduler that acts, from the log: once, however many services run, and whether
or not the node that did it still lives ([ADR 39](adr/0039-metrics-come-from-the-log.md)). Counters begin at 0 with each
life of a process. With OpenMetrics, buckets of histograms carry exemplars: the trace of a task that was counted there.

**How many series.** An attribute has the values given here, or it is open: then as many values as given are told apart,
those seen most, and all others are `other`. The last column is the most that one process can have.

## Dashboards and rules

`deploy/grafana` has dashboards (fleet, queue and latency, services, tenants and usage, one task's life, alerts) and
what Grafana needs to load them: mount `provisioning` at `/etc/grafana/provisioning`, `dashboards` at
`/etc/grafana/dashboards`, and set `PROMETHEUS_URL`. `deploy/prometheus` has a configuration and rules; each alert leads
to a section of [alerts](alerts.md). A test runs Prometheus against a mesh and asks every query of every panel and rule.
What `make demo-ops` leaves of three of them, after 30 s of mixed load in which an instance is killed three times:

![Panels of the dashboards fleet, queue and latency, tenants and usage](images/dashboards.png)
"""


def page() -> str:
    """The page."""
    parts = [_HEAD, "## Instruments\n", *_table(catalogue.ALL), "\n## Attributes\n", *_attributes(catalogue.ALL)]
    return "\n".join(parts) + "\n"


def _table(instruments: Iterable[Instrument]) -> Iterator[str]:
    yield "| name | in Prometheus | kind | unit | from | attributes | tells | series |"
    yield "| --- | --- | --- | --- | --- | --- | --- | ---: |"
    for instrument in instruments:
        attributes = ", ".join(f"`{attribute.name}`" for attribute in instrument.attributes)
        services = "all" if len(instrument.services) > 2 else ", ".join(instrument.services)
        names = f"`{instrument.name}` | `{instrument.prometheus_name}`"
        told = f"{services} | {attributes} | {instrument.description}"
        yield f"| {names} | {instrument.kind} | {instrument.unit} | {told} | {instrument.most_series} |"


def _attributes(instruments: Iterable[Instrument]) -> Iterator[str]:
    yield "| name | says | values |"
    yield "| --- | --- | --- |"
    known = {attribute: None for instrument in instruments for attribute in instrument.attributes}
    for attribute in sorted(known, key=lambda attribute: attribute.name):
        yield f"| `{attribute.name}` | {attribute.description} | {_values(attribute)} |"


def _values(attribute: Attribute) -> str:
    if attribute.is_closed:
        return ", ".join(f"`{value}`" for value in attribute.values)
    return f"open, {attribute.most}"


def main() -> None:
    """Print the page."""
    print(page(), end="")  # noqa: T201  # that is what it is for


if __name__ == "__main__":
    main()
