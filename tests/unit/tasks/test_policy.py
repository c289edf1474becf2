"""Policy settings: what is declared once holds everywhere."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.tasks import policy, policy_codec
from comfymesh.tasks.policy import PolicySettings, TenantPolicy, scalars, violations
from comfymesh.v1 import scheduling_policy_pb2

MESSAGES = {
    PolicySettings: scheduling_policy_pb2.SchedulingPolicy.DESCRIPTOR,
    TenantPolicy: scheduling_policy_pb2.TenantPolicy.DESCRIPTOR,
}
NO_SETTINGS = {"etag", "update_time", "tenants"}


def _within(kind: type[PolicySettings | TenantPolicy]) -> dict[str, st.SearchStrategy[Any]]:
    strategies: dict[str, st.SearchStrategy[Any]] = {}
    for declared in scalars(kind):
        low, high = declared.metadata.get("low"), declared.metadata.get("high")
        if low is None:
            strategies[declared.name] = st.booleans()
        elif isinstance(declared.default, int):
            strategies[declared.name] = st.integers(low, high)
        else:
            strategies[declared.name] = st.floats(low, high)
    return strategies


names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
tenants = st.dictionaries(names, st.builds(TenantPolicy, **_within(TenantPolicy)), max_size=4)
settings = st.builds(PolicySettings, tenants=tenants, **_within(PolicySettings))


@pytest.mark.parametrize("kind", [PolicySettings, TenantPolicy])
def test_every_setting_is_in_the_contract_and_the_other_way_round(kind: type[PolicySettings | TenantPolicy]) -> None:
    contract = {field.name: field for field in MESSAGES[kind].fields if field.name not in NO_SETTINGS}
    assert set(contract) == {declared.name for declared in scalars(kind)}
    assert all(field.has_presence for field in contract.values()), "whether it is set must be seen"


@pytest.mark.parametrize("kind", [PolicySettings, TenantPolicy])
def test_every_setting_says_what_it_means_and_its_default_is_allowed(kind: type[PolicySettings | TenantPolicy]) -> None:
    for declared in scalars(kind):
        assert declared.metadata["means"]
        if "low" in declared.metadata:
            assert declared.metadata["low"] <= declared.default <= declared.metadata["high"]


@given(settings)
def test_settings_come_back_from_the_log_as_they_were(chosen: PolicySettings) -> None:
    assert list(violations(chosen)) == []
    data = policy_codec.to_message(chosen).SerializeToString()
    assert policy_codec.from_message(scheduling_policy_pb2.SchedulingPolicy.FromString(data)) == chosen


def test_what_an_older_version_did_not_store_has_its_default() -> None:
    empty = scheduling_policy_pb2.SchedulingPolicy()
    empty.tenants["acme"].weight = 3.0
    assert policy_codec.from_message(empty) == PolicySettings(tenants={"acme": TenantPolicy(weight=3.0)})


@given(settings, settings)
def test_a_change_of_everything_makes_the_given_and_a_change_of_nothing_changes_nothing(
    known: PolicySettings, given_: PolicySettings
) -> None:
    assert policy_codec.updated(known, given_, policy_codec.paths()) == given_
    assert policy_codec.updated(known, given_, ()) == known


@given(settings, settings, names)
def test_a_change_of_one_tenant_leaves_all_others(known: PolicySettings, given_: PolicySettings, name: str) -> None:
    changed = policy_codec.updated(known, given_, [f"tenants.{name}"])
    assert changed.tenant(name) == given_.tenant(name)
    assert {n: t for n, t in changed.tenants.items() if n != name} == {
        n: t for n, t in known.tenants.items() if n != name
    }
    assert changed.affinity == known.affinity


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf, 1000.1])
def test_numbers_out_of_range_are_named_all_at_once(weight: float) -> None:
    wrong = PolicySettings(tenants={"acme": TenantPolicy(weight=weight, max_running=-1), "No": TenantPolicy()})
    assert [field for field, _ in violations(wrong)] == [
        "tenants[acme].weight",
        "tenants[acme].max_running",
        "tenants[No]",
    ]


def test_the_number_of_tenants_is_bounded() -> None:
    many = {f"t{number}": TenantPolicy() for number in range(policy.MOST_TENANTS + 1)}
    assert [field for field, _ in violations(PolicySettings(tenants=many))] == ["tenants"]
