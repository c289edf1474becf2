"""Which URLs may be called."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from comfymesh.egress.addresses import Address
from comfymesh.egress.guard import Egress, EgressRefusedError, Target, parse


def resolver(*answers: str) -> Egress:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address(answer) for answer in answers]

    return Egress(resolve=resolve)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "ftp://example.org/", "file:///etc/passwd", "https://", "https:///path", "gopher://a/",
        "https://user:secret@example.org/", "https://example.org:0/", "https://example.org:99999/",
        "https://exa mple.org/", "https://example.org/\n", "https://exämple.org/", "https://a\\@b/", "https://[::1",
        "https://example.org/" + "a" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_url_of_ours_is_refused(url: str) -> None:
    with pytest.raises(EgressRefusedError) as refused:
        parse(url)
    assert refused.value.reason == "URL_INVALID"
    assert "secret" not in str(refused.value)


def test_a_url_names_a_host_and_a_port() -> None:
    assert parse("https://Example.org./x?y#z") == Target("https", "example.org", 443)
    assert parse("http://[2606:4700::1111]:8080") == Target("http", "2606:4700::1111", 8080)


async def test_a_host_outside_is_answered_with_its_addresses() -> None:
    assert await resolver("1.1.1.1", "2606:4700::1111").addresses("example.org", 443) == [
        ip_address("1.1.1.1"),
        ip_address("2606:4700::1111"),
    ]


@pytest.mark.parametrize("answers", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:169.254.169.254"]])
async def test_a_host_with_any_address_inside_is_refused_without_telling_which(answers: list[str]) -> None:
    with pytest.raises(EgressRefusedError) as refused:
        await resolver(*answers).addresses("example.org", 443)
    assert refused.value.reason == "ADDRESS_REFUSED"
    assert not any(answer in str(refused.value) for answer in answers)


async def test_a_host_that_nobody_knows_may_be_known_later() -> None:
    with pytest.raises(EgressRefusedError) as refused:
        await resolver().addresses("example.org", 443)
    assert refused.value.reason == "HOST_UNKNOWN"


def test_an_address_in_the_url_is_judged_at_once() -> None:
    with pytest.raises(EgressRefusedError):
        Egress().check_literal("169.254.169.254")
    Egress().check_literal("example.org")
    Egress(allow=["127.0.0.0/8"]).check_literal("127.0.0.1")
