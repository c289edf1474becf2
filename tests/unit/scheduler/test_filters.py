"""What rules an instance out for a task: each unit by itself, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.events import CatalogRead, LogRead, NodeReported, PolicyChanged, TaskChanged
from comfymesh.scheduler.domain.filters import KIND_FILTERS, SEAT_FILTERS
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.scheduler.domain.kinds import Kinds
from comfymesh.scheduler.domain.views import Explanation
from comfymesh.tasks.placing import Site
from comfymesh.tasks.policy import PolicySettings, TenantPolicy
from comfymesh.tasks.record import ModelFile, Placement, Requirements
from comfymesh.testkit.tasks import NOW, queued

GIB = 2**30
CATALOG = Catalog.from_object_info(
    {"Loader": {"input": {"required": {"name": [["a", "b"], {}]}}, "output": ["MODEL"], "output_node": False}}
)
INSTANCE = Instance("x", InstanceState.READY, 1, "c", gpu_class="l40s", vram_bytes=48 * GIB, pool="video")
REPORT = Report("a", "1", open=True, instances={"x": INSTANCE}, labels={"zone": "eu"})


def wants(**placement: object) -> Requirements:
    return Requirements(placement=Placement(**placement))  # type: ignore[arg-type]


def explained(requirements: Requirements, report: Report = REPORT) -> Explanation:
    core = Core(report_ttl=8.0, resend_after=4.0)
    for event in (CatalogRead("c", CATALOG), LogRead(), NodeReported(report)):
        core.handle(event, NOW)
    # One that is offered what there is, so that what the other is told is not that its turn is now.
    core.handle(TaskChanged(queued("first"), 1), NOW)
    task = queued("one", requirements=requirements)
    core.handle(TaskChanged(task, 2), NOW)
    said = core.explain(task.key, NOW)
    assert said is not None
    return said


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("node_classes", Requirements(("Absent",))),
        ("model_files", Requirements(models=(ModelFile("Loader", "name", "absent"),))),
        ("model_files", Requirements(models=(ModelFile("Loader", "other", "a"),))),
        ("model_files", Requirements(models=(ModelFile("Loader", "name", "a"), ModelFile("Loader", "name", "c")))),
        ("labels", wants(labels=(("zone", "us"),))),
        ("labels", wants(labels=(("zone", "eu"), ("rack", "1")))),
        ("gpu_class", wants(gpu_class="h100")),
        ("vram", wants(min_vram_bytes=49 * GIB)),
        ("pool", wants(pool="images")),
        ("busy", Requirements()),
        ("busy", Requirements(("Loader",), (ModelFile("Loader", "name", "a"), ModelFile("Loader", "name", "b")))),
        ("busy", wants(labels=(("zone", "eu"),), gpu_class="l40s", min_vram_bytes=48 * GIB, pool="video")),
    ],
)
def test_each_unit_rules_out_what_it_is_for(name: str, requirements: Requirements) -> None:
    assert explained(requirements).rejected == {name: 1}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cordoned", {"open": False}),
        ("not_serving", {"instances": {"x": replace(INSTANCE, state=InstanceState.STARTING)}}),
        ("catalog", {"instances": {"x": replace(INSTANCE, catalog="")}}),
    ],
)
def test_what_an_instance_does_rules_it_out(name: str, changes: dict[str, object]) -> None:
    said = explained(Requirements(), replace(REPORT, **changes))  # type: ignore[arg-type]
    assert said.rejected == {name: 1}
    assert name in said.reason
    assert said.stuck


def test_units_have_a_name_each() -> None:
    names = [each.name for each in (*KIND_FILTERS, *SEAT_FILTERS)]
    assert len(names) == len(set(names))


def test_a_tenants_cap_is_told() -> None:
    core = Core(report_ttl=8.0, resend_after=4.0)
    capped = PolicySettings(tenants={"default": TenantPolicy(max_running=1)})
    roomy = replace(REPORT, instances={"x": replace(INSTANCE, slots=4)})
    for event in (CatalogRead("c", CATALOG), LogRead(), PolicyChanged(capped), NodeReported(roomy)):
        core.handle(event, NOW)
    for number, name in enumerate(("one", "two"), 1):
        core.handle(TaskChanged(queued(name), number), NOW)
    said = core.explain(queued("two").key, NOW)
    assert said is not None
    assert "tenant" in said.reason
    assert said.rejected == {"tenant_cap": 1}


KINDS = {
    "eu": Site({"zone": "eu", "rack": "1"}, "l40s", 48 * GIB, "video"),
    "us": Site({"zone": "us"}, "l40s", 48 * GIB, "images"),
    "big": Site({"zone": "us"}, "h100", 80 * GIB),
}


@pytest.mark.parametrize(
    ("placement", "fitting"),
    [
        (Placement(), {"eu", "us", "big"}),
        (Placement(labels=(("zone", "us"),)), {"us", "big"}),
        (Placement(labels=(("rack", "1"), ("zone", "us"))), set()),
        (Placement(gpu_class="l40s", pool="images"), {"us"}),
        (Placement(min_vram_bytes=50 * GIB), {"big"}),
        (Placement(pool="none"), set()),
    ],
)
def test_kinds_are_found_by_what_a_caller_asks_for(placement: Placement, fitting: set[str]) -> None:
    kinds = Kinds()
    joined = {name: kinds.join(site, "c") for name, site in KINDS.items()}
    assert set(kinds.fitting(placement)) == {joined[name] for name in fitting}
    assert kinds.join(KINDS["eu"], "c") is joined["eu"]
    kinds.leave(joined["eu"])
    assert set(kinds.fitting(placement)) == {joined[name] for name in fitting}
    kinds.leave(joined["eu"])
    assert set(kinds.fitting(placement)) == {joined[name] for name in fitting - {"eu"}}
