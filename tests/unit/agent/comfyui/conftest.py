"""The recorded traces, as parameters and by number."""

from __future__ import annotations

import pytest

from .recorded import TRACES, Trace, load


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "trace" in metafunc.fixturenames:
        metafunc.parametrize("trace", [load(path) for path in TRACES], ids=[path.stem for path in TRACES])


@pytest.fixture(scope="session")
def traces() -> dict[str, Trace]:
    """Every trace by the number that its name begins with."""
    return {path.stem.partition("-")[0]: load(path) for path in TRACES}
