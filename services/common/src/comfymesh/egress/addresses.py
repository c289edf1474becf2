"""Which addresses lie outside: in nobody's private network, and none that an address of another kind hides. Pure.

The registries behind it are IANA's special-purpose address registries, as Python's `ipaddress` has them, and the ways
to carry an IPv4 address in an IPv6 one: RFC 4291 (mapped, compatible), 3056 (6to4), 4380 (Teredo), 6052 and 8215
(NAT64).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import inet_aton

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NUMBERS = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_SITE_LOCAL = IPv6Network("fec0::/10")
_RELAYS = IPv4Network("192.88.99.0/24")
_REFUSED = (_LOCAL_NAT64, _SITE_LOCAL, _RELAYS)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks that texts such as `10.0.0.0/8` name; an address alone is a network of one.

    Raises:
        ValueError: one is no network.
    """
    return tuple(ip_network(text.strip(), strict=False) for text in texts if text.strip())


def is_outside(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Whether an address may be called: it is public, or in a network that is allowed nevertheless."""
    plain = _unwrapped(address)
    return any(one in network for network in allowed for one in (plain, address)) or _is_public(plain)


def literal(host: str) -> Address | None:
    """The address that a URL's host is, if it is none that has to be looked up. A zone makes it none of ours.

    Systems also take numbers for addresses, such as 2130706433, 0x7f.1 and 017700000001 (inet_aton).
    """
    try:
        return ip_address(host)
    except ValueError:
        return IPv4Address(inet_aton(host)) if _NUMBERS.fullmatch(host) and _is_taken(host) else None


def _is_taken(host: str) -> bool:
    try:
        inet_aton(host)
    except OSError:
        return False
    return True


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not any(address in network for network in _REFUSED)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries, if it does: that is what is reached in the end."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
