"""What the head of a message says, as NATS writes it."""

from __future__ import annotations

import pytest

from comfymesh.bus.client import Delivery

HEARTBEAT = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\nNats-Last-Stream: 9\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "status", "headers"),
    [
        (b"", 0, {}),
        (b"NATS/1.0 404\r\n\r\n", 404, {}),
        (b"NATS/1.0 408 Request Timeout\r\n\r\n", 408, {}),
        (HEARTBEAT, 100, {"Nats-Last-Consumer": "7", "Nats-Last-Stream": "9"}),
        (
            b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 12\r\n\r\n",
            0,
            {"Nats-Expected-Last-Subject-Sequence": "12"},
        ),
        (
            b"NATS/1.0\r\nStatus: 403\r\nReason: not yours: no\r\n\r\n",
            403,
            {"Status": "403", "Reason": "not yours: no"},
        ),
        (b"NATS/1.0\r\nno colon\r\nx:\ty \r\n\r\n", 0, {"x": "y"}),
        (b"NATS/1.0\r\nx: \xff\r\n\r\n", 0, {"x": "\N{REPLACEMENT CHARACTER}"}),
    ],
)
def test_status_and_headers(head: bytes, status: int, headers: dict[str, str]) -> None:
    delivery = Delivery("a", "", b"", head)
    assert delivery.status == status
    assert delivery.headers == headers
