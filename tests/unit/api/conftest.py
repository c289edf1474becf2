"""In the api's unit tests time passes only while everything waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from comfymesh.testkit.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual_time": VirtualTimeLoop}
