"""When webhooks are tried and given up, when endpoints are left alone, and how calls are signed."""

from __future__ import annotations

import base64
import shlex
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from comfymesh.notifier.domain import signing
from comfymesh.notifier.domain.hooks import PAUSES, Again, Breaker, Delivered, GivenUp, judge
from comfymesh.testkit import pages

NOW = 1_700_000_000.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()
BODY = '{"type":"task.succeeded","data":{"title":"显存"}}'.encode()


def test_what_is_taken_is_not_tried_again() -> None:
    assert judge("a", 1, 204, NOW) == Delivered()


def test_what_is_gone_is_given_up() -> None:
    assert judge("a", 1, 410, NOW) == GivenUp()


@pytest.mark.parametrize("status", [0, 301, 400, 404, 429, 500, 503])
def test_what_fails_is_tried_for_hours_and_then_given_up(status: int) -> None:
    now, tries = NOW, 0
    while True:
        tries += 1
        verdict = judge("a", tries, status, now)
        if isinstance(verdict, GivenUp):
            break
        assert isinstance(verdict, Again)
        assert verdict.at > now
        now = verdict.at
    assert tries == len(PAUSES) + 1
    assert 17 * 3600 < now - NOW < 22 * 3600


def test_a_receiver_may_wish_for_a_pause_but_not_for_any() -> None:
    assert judge("a", 1, 429, NOW, wish=60) == Again(NOW + 60)
    assert judge("a", 1, 429, NOW, wish=999_999) == Again(NOW + 7200)


def test_an_endpoint_that_fails_is_left_alone_and_then_probed_once() -> None:
    breaker = Breaker()
    for _ in range(5):
        assert breaker.admits(NOW)
        breaker.told(NOW, works=False)
    assert not breaker.admits(NOW + 29)
    assert breaker.admits(NOW + 30)
    assert not breaker.admits(NOW + 30)
    breaker.told(NOW + 31, works=False)
    assert not breaker.admits(NOW + 90)
    assert breaker.admits(NOW + 91)
    breaker.told(NOW + 91, works=True)
    assert breaker.is_idle


@given(st.lists(st.booleans(), max_size=60))
def test_an_endpoint_is_never_left_alone_for_ever(outcomes: list[bool]) -> None:
    breaker, now = Breaker(), NOW
    for works in outcomes:
        waited = 0.0
        while not breaker.admits(now):
            now += 30
            waited += 30
            assert waited <= 600
        breaker.told(now, works=works)


def test_signatures_are_those_of_the_standard() -> None:
    now = datetime.now(UTC)
    keys = [signing.key_of(OTHER), signing.key_of(SECRET)]
    headers = signing.headers(keys, "msg_1", now.timestamp(), BODY)
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY.decode(), headers)
    assert headers["webhook-signature"].split()[1] == Webhook(SECRET).sign("msg_1", now, BODY.decode())
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY.decode() + " ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY.decode(), signing.headers(keys, "msg_1", now.timestamp() - 3600, BODY))


def test_the_command_of_the_page_makes_a_secret() -> None:
    (command,) = pages.commands("webhooks.md", "Secrets")
    made = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout.strip()
    assert len(signing.key_of(made)) == 32


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "not base64"])
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret") as refused:
        signing.key_of(secret)
    assert secret in {"", "whsec_"} or secret not in str(refused.value)
