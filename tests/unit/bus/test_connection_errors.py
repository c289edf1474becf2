"""What a connection tells of its errors."""

from __future__ import annotations

import logging

import pytest

from comfymesh.bus.connection import Connection


async def test_errors_that_each_try_meets_are_told_once_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection("nats://nowhere", "test")
    caplog.set_level(logging.WARNING)
    for _ in range(100):
        await connection._on_error(ConnectionResetError("Connection lost"))
        await connection._on_error(BrokenPipeError("Broken pipe"))
    assert len(caplog.records) == 2
    await connection._on_reconnect()
    await connection._on_error(BrokenPipeError("Broken pipe"))
    assert len(caplog.records) == 3
