"""The policy can be seen and changed, by several at once, and nobody's change is lost without a word."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import Field, replace
from typing import Any

import pytest

from comfymesh.api.errors import RefusedError, to_status
from comfymesh.api.policies import Policies
from comfymesh.bus.policies import PolicyStore
from comfymesh.bus.port import Entry
from comfymesh.bus.subjects import SCHEDULING_SETTINGS
from comfymesh.tasks.policy import PolicySettings, TenantPolicy, scalars
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.v1.scheduling_policy_pb2 import SchedulingPolicy
from comfymesh.v1.scheduling_policy_pb2 import TenantPolicy as TenantMessage
from comfymesh.v1.scheduling_service_pb2 import UpdatePolicyRequest


class Bench:
    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.store = PolicyStore(self.bus)
        self.policies = Policies(self.store)

    async def update(self, *paths: str, validate_only: bool = False, **policy: object) -> SchedulingPolicy:
        request = UpdatePolicyRequest(policy=SchedulingPolicy(**policy), validate_only=validate_only)  # type: ignore[arg-type]
        request.update_mask.paths.extend(paths)
        return await self.policies.update(request)

    async def refuse(self, *paths: str, **policy: object) -> RefusedError:
        with pytest.raises(RefusedError) as refused:
            await self.update(*paths, **policy)
        to_status(refused.value)
        return refused.value

    async def settings(self) -> PolicySettings:
        return (await self.store.read()).settings


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_before_the_first_change_the_defaults_are_shown(bench: Bench) -> None:
    policy = await bench.policies.read()
    assert (policy.etag, policy.affinity, dict(policy.tenants)) == ("0", True, {})
    assert not policy.HasField("update_time")


async def test_only_what_the_mask_names_is_changed(bench: Bench) -> None:
    await bench.update("tenants.acme", tenants={"acme": TenantMessage(weight=2.0)})
    policy = await bench.update("affinity", affinity=False, tenants={"other": TenantMessage(weight=9.0)})
    assert await bench.settings() == PolicySettings(affinity=False, tenants={"acme": TenantPolicy(weight=2.0)})
    assert policy == await bench.policies.read()
    assert policy.HasField("update_time")
    assert policy.tenants["acme"].max_running == 0


async def test_what_the_mask_names_and_the_policy_lacks_goes_back_to_its_default(bench: Bench) -> None:
    await bench.update("affinity", "tenants", affinity=False, tenants={"acme": TenantMessage(weight=2.0)})
    await bench.update("affinity", "tenants.acme")
    assert await bench.settings() == PolicySettings()


async def test_a_change_that_builds_on_an_old_version_is_refused(bench: Bench) -> None:
    old = await bench.policies.read()
    await bench.update("affinity", affinity=False, etag=old.etag)
    refusal = await bench.refuse("tenants.acme", tenants={"acme": TenantMessage(weight=2.0)}, etag=old.etag)
    assert (refusal.status_code.name, refusal.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert await bench.settings() == PolicySettings(affinity=False)


async def test_a_change_that_was_made_already_is_not_refused_when_it_is_repeated(bench: Bench) -> None:
    old = await bench.policies.read()
    first = await bench.update("affinity", affinity=False, etag=old.etag)
    assert await bench.update("affinity", affinity=False, etag=old.etag) == first


async def test_changes_of_different_settings_at_the_same_time_are_all_made(bench: Bench) -> None:
    names = [f"t{number}" for number in range(10)]
    await asyncio.gather(*(bench.update(f"tenants.{n}", tenants={n: TenantMessage(weight=2.0)}) for n in names))
    assert set((await bench.settings()).tenants) == set(names)


async def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_changed(bench: Bench) -> None:
    refusal = await bench.refuse("tenants", tenants={"acme": TenantMessage(weight=0.0, max_running=-5)})
    assert (refusal.status_code.name, refusal.reason) == ("INVALID_ARGUMENT", "INPUT_INVALID")
    assert {violation.field for violation in refusal.violations} == {
        "policy.tenants[acme].weight",
        "policy.tenants[acme].max_running",
    }
    assert not bench.bus.stored(SCHEDULING_SETTINGS)


@pytest.mark.parametrize("declared", list(scalars(PolicySettings)), ids=lambda declared: declared.name)
async def test_every_setting_can_be_changed_within_its_range_alone(bench: Bench, declared: Field[Any]) -> None:
    name, low, high = declared.name, declared.metadata.get("low"), declared.metadata.get("high")
    if low is None or high is None:
        wanted = not declared.default
    else:
        wanted = type(declared.default)(low)
        for beyond in (low - 1, high + 1):
            refusal = await bench.refuse(name, **{name: type(declared.default)(beyond)})
            assert [violation.field for violation in refusal.violations] == [f"policy.{name}"]
    await bench.update(name, **{name: wanted})
    assert await bench.settings() == replace(PolicySettings(), **{name: wanted})


@pytest.mark.parametrize(
    ("paths", "fields"),
    [
        ((), ["update_mask"]),
        (("etag", "affinity", "tenants.Acme", "tenants.", "nope.x"), [f"update_mask.paths[{n}]" for n in (0, 2, 3, 4)]),
    ],
)
async def test_a_mask_that_names_no_setting_is_refused(bench: Bench, paths: tuple[str, ...], fields: list[str]) -> None:
    refusal = await bench.refuse(*paths, affinity=False)
    assert [violation.field for violation in refusal.violations] == fields


async def test_a_change_can_be_tried_without_making_it(bench: Bench) -> None:
    policy = await bench.update("affinity", affinity=False, validate_only=True)
    assert not policy.affinity
    assert await bench.settings() == PolicySettings()


async def test_a_policy_that_can_not_be_read_counts_as_the_defaults_and_can_be_replaced(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.bus.append([Entry(SCHEDULING_SETTINGS, b"\xff\xff")])
    with caplog.at_level(logging.ERROR):
        assert await bench.settings() == PolicySettings()
    assert "defaults" in caplog.text
    await bench.update("affinity", affinity=False)
    assert await bench.settings() == PolicySettings(affinity=False)
