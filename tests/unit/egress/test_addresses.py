"""Which addresses may be called."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.egress.addresses import is_outside, networks

INSIDE = [
    "127.0.0.1", "127.255.0.9", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "::", "::1", "fe80::1",
    "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "64:ff9b:1::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused(address: str) -> None:
    assert not is_outside(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_may_be_called(address: str) -> None:
    assert is_outside(ip_address(address))


@given(st.sampled_from([a for a in INSIDE if ":" not in a]).map(IPv4Address))
def test_an_address_inside_can_not_hide_in_another(inner: IPv4Address) -> None:
    number = int(inner)
    wrapped = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x0064FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
        IPv6Address((0x20010000 << 96) | (1 << 64) | (number ^ 0xFFFFFFFF)),
        IPv6Address(number),
    ]
    assert [str(address) for address in wrapped if is_outside(address)] == []


def test_a_network_that_is_allowed_may_be_called_in_every_form() -> None:
    allowed = networks(["10.1.0.0/16", " 127.0.0.1 ", ""])
    assert is_outside(ip_address("10.1.2.3"), allowed)
    assert is_outside(ip_address("127.0.0.1"), allowed)
    assert is_outside(ip_address("::ffff:10.1.2.3"), allowed)
    assert not is_outside(ip_address("10.2.0.1"), allowed)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="example"):
        networks(["example.org"])
