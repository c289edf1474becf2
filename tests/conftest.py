"""What all tests share: no setting of the person who runs them reaches the code under test."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from comfymesh.runtime import grpc_engine

for name in [name for name in os.environ if name.startswith("COMFYMESH_") and name != "COMFYMESH_IMAGE"]:
    del os.environ[name]

# As the API's processes have it. Here, before any test imports grpc.
grpc_engine.choose()

# How fast the machine is says nothing of the code.
settings.register_profile("mesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mesh")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What hostile texts leave in captured logs can be no UTF-8; a report has to travel between processes."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
