"""Decisions about callers that need nobody to call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comfymesh.api.access import allowance, decision, posture
from comfymesh.api.access.posture import Posture, UnsafeSettingsError
from comfymesh.api.access.rates import Rates
from comfymesh.api.access.scopes import SCOPES, Scope, is_audited
from comfymesh.api.errors import RefusedError
from comfymesh.api.settings import ApiSettings
from comfymesh.tasks.record import ModelFile, Requirements
from comfymesh.v1 import key_pb2, tenant_pb2

LOOPBACK = ["127.0.0.1:7700", "127.9.9.9:1", "localhost:7700", "[::1]:7700", "unix:/run/api.sock"]
REACHABLE = [
    "0.0.0.0:7700",
    "[::]:7700",
    "10.0.0.1:7700",
    "mesh.example:7700",
    ":7700",
    "",
    "127.0.0.1.evil.example:1",
    "[::1:7700",
]


@pytest.mark.parametrize("listen", LOOPBACK)
def test_on_loopback_everything_goes(listen: str) -> None:
    posture.check(Posture(listen, is_open=True, has_tls=False))


@pytest.mark.parametrize("listen", REACHABLE)
def test_elsewhere_nothing_is_open_or_unencrypted_unless_that_was_accepted(listen: str) -> None:
    with pytest.raises(UnsafeSettingsError) as error:
        posture.check(Posture(listen, is_open=True, has_tls=False))
    assert error.value.exit_code == 78
    for setting in ("API_AUTH=keys", "API_ALLOW_OPEN=true", "API_TLS_CERTIFICATE", "API_ALLOW_PLAINTEXT=true"):
        assert f"COMFYMESH_{setting}" in str(error.value)
    with pytest.raises(UnsafeSettingsError):
        posture.check(Posture(listen, is_open=False, has_tls=False))
    with pytest.raises(UnsafeSettingsError):
        posture.check(Posture(listen, is_open=True, has_tls=True))
    posture.check(Posture(listen, is_open=False, has_tls=True))
    posture.check(Posture(listen, is_open=True, has_tls=False, allow_open=True, allow_plaintext=True))


def test_by_default_callers_need_keys() -> None:
    assert ApiSettings().api_auth == "keys"


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_tls_certificate": "a.crt"},
        {"api_tls_key": "a.key"},
        {"api_tls_client_ca": "ca.crt"},
        {"oidc_issuer": "https://issuer"},
        {"oidc_issuer": "https://issuer", "oidc_audience": "us", "oidc_jwks": "http://issuer/keys"},
        {"oidc_jwks": "ftp://127.0.0.1/keys"},
        {"oidc_jwks": "http://127.0.0.1@issuer/keys"},
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ApiSettings(**wrong)  # type: ignore[arg-type]  # of whichever type they are


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.1, 50), st.integers(0, 20))
def test_no_more_calls_are_let_in_than_burst_and_rate_allow(waits: list[float], rate: float, burst: int) -> None:
    rates, now, let_in = Rates(), 100.0, 0
    for wait in waits:
        now += wait
        let_in += not rates.take("a", rate, burst, now)
    assert let_in <= (burst or max(1.0, 2 * rate)) + rate * sum(waits) + 1e-6


@given(st.floats(0.1, 50), st.integers(1, 20))
def test_who_waits_as_long_as_told_is_let_in(rate: float, burst: int) -> None:
    rates, now = Rates(), 0.0
    for _ in range(burst):
        assert not rates.take("a", rate, burst, now)
    wait = rates.take("a", rate, burst, now)
    assert wait > 0
    assert not rates.take("a", rate, burst, now + wait + 1e-6)
    assert not rates.take("b", rate, burst, now)


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    rates = Rates()
    assert not rates.take("a", 1.0, 1, 1000.0)
    assert rates.take("a", 1.0, 1, 10.0) > 0


@pytest.mark.parametrize(
    ("patterns", "name", "fits"),
    [
        ([], "anything", True),
        (["KSampler"], "KSampler", True),
        (["KSampler"], "KSamplerAdvanced", False),
        (["KSampler*"], "KSamplerAdvanced", True),
        (["sdxl/*"], "sdxl/base.safetensors", True),
        (["sdxl/*"], "other/sdxl/base", False),
        (["a?c"], "abc", True),
        (["[ab]"], "a", False),
        (["[ab]"], "[ab]", True),
        (["A", "B"], "B", True),
        (["*"], "line\nbreak", True),
        (["KSampler"], "KSampler\n", False),
    ],
)
def test_patterns(patterns: list[str], name: str, fits: bool) -> None:  # noqa: FBT001
    needed = Requirements(node_classes=(name,), models=(ModelFile("L", "m", name),))
    for allowed in (tenant_pb2.Allowance(node_classes=patterns), tenant_pb2.Allowance(models=patterns)):
        if fits:
            allowance.check_again(allowed, needed)
        else:
            with pytest.raises(RefusedError):
                allowance.check_again(allowed, needed)


def test_a_pattern_costs_no_time_to_speak_of() -> None:
    wide = tenant_pb2.Allowance(node_classes=["*a*a*a*a"])
    assert not list(allowance.violations("x", wide.node_classes))
    with pytest.raises(RefusedError):
        allowance.check_again(wide, Requirements(node_classes=("a" * 500 + "b",)))


def test_scopes_are_those_of_the_contract() -> None:
    named = {name.removeprefix("SCOPE_") for name in key_pb2.Key.Scope.keys()}  # noqa: SIM118  # no mapping
    assert named == {"UNSPECIFIED", *Scope}


def test_what_administrators_change_is_audited() -> None:
    audited = {method.rpartition("/")[2] for method in SCOPES if is_audited(method)}
    assert {"CreateKey", "RotateKey", "RevokeKey", "CreateTenant", "UpdateTenant"} <= audited
    assert not {"ListKeys", "GetKey", "ListAuditEvents", "CreateTask"} & audited


@pytest.mark.parametrize("header", ["Bearer x", "bearer x", "BEARER  x "])
def test_a_credential_is_read(header: str) -> None:
    assert decision.credential({"authorization": header}) == "x"


@pytest.mark.parametrize("header", [b"Bearer x", "x", "Bearer", "Bearer ", "Token x"])
def test_and_nothing_else_is(header: str | bytes) -> None:
    with pytest.raises(RefusedError, match="CREDENTIALS_INVALID"):
        decision.credential({"authorization": header})
