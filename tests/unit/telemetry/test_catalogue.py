"""Instruments are named as others name theirs, bounded, and all on one page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.metrics import hw_metrics, process_metrics, rpc_metrics, system_metrics

from comfymesh.telemetry import catalogue, page
from comfymesh.telemetry.instrument import Instrument, Kind

ROOT = Path(__file__).parents[3]
CONVENTIONS = {
    value
    for module in (hw_metrics, process_metrics, rpc_metrics, system_metrics)
    for value in vars(module).values()
    if isinstance(value, str)
}


def test_the_page_is_made_from_the_catalogue() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == page.page(), "run `make docs`"


def test_nothing_is_called_as_something_else() -> None:
    assert len(catalogue.ALL) > 40
    for names in ({i.name for i in catalogue.ALL}, {i.prometheus_name for i in catalogue.ALL}):
        assert len(names) == len(catalogue.ALL)


@pytest.mark.parametrize("instrument", catalogue.ALL, ids=lambda instrument: instrument.name)
class TestEach:
    def test_its_name_is_conventional_or_our_own(self, instrument: Instrument) -> None:
        assert re.fullmatch(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+", instrument.name)
        assert instrument.name.startswith("comfymesh.") or instrument.name in CONVENTIONS

    def test_its_unit_is_one_of_ucum(self, instrument: Instrument) -> None:
        assert re.fullmatch(r"s|By|Cel|1|\{[a-z_]+\}", instrument.unit)

    def test_it_is_told_what_it_tells(self, instrument: Instrument) -> None:
        assert instrument.description.endswith(".")
        assert all(attribute.description.endswith(".") for attribute in instrument.attributes)

    def test_it_is_bounded(self, instrument: Instrument) -> None:
        assert all(attribute.is_closed != bool(attribute.most) for attribute in instrument.attributes)
        assert instrument.most_series <= 2000
        # What is told of levels by another than the first attribute could not be summed up.
        assert all(
            a.is_closed or a.most == 1 for a in instrument.attributes[1:] if instrument.kind is not Kind.HISTOGRAM
        )

    def test_only_histograms_have_buckets_in_order(self, instrument: Instrument) -> None:
        assert bool(instrument.buckets) == (instrument.kind is Kind.HISTOGRAM)
        assert list(instrument.buckets) == sorted(set(instrument.buckets))
