"""What all tests share: no setting of the person who runs them reaches the code under test."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from comfymesh.runtime import grpc_engine

for name in [name for name in os.environ if name.startswith("COMFYMESH_") and name != "COMFYMESH_IMAGE"]:
    del os.environ[name]

# A shell's background job ignores Ctrl-C, and so would all that tests start, to try it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As the API's processes have it. Here, before any test imports grpc.
grpc_engine.choose()

# How fast the machine is says nothing of the code. CI judges a change by examples that are the same for each change;
# others are looked for by `make properties`, and by everybody who runs the tests.
settings.register_profile(
    "mesh", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("mesh")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What hostile texts leave in captured logs can be no UTF-8; a report has to travel between processes."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
