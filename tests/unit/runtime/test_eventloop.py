"""What processes run on."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator

import pytest

from comfymesh.runtime import eventloop


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector of this process is afterwards as it was."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_the_collector_looks_seldom_and_never_at_what_was_there_before_the_start() -> None:
    there = [object()]

    async def main() -> tuple[bool, bool]:
        made = [object()]
        known = {id(each) for each in gc.get_objects()}
        return id(there) in known, id(made) in known

    assert eventloop.run(main()) == (False, True)
    assert gc.get_threshold()[0] > 700


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize(("error", "told"), [(socket.gaierror(-2, "Name or service not known"), 0), (OSError("no"), 1)])
def test_of_what_nobody_has_looked_at_only_names_are_not_told_of(
    error: OSError, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is left to nobody by uvloop where a connection is given up while its name is looked up."""

    async def main() -> None:
        asyncio.get_running_loop().create_future().set_exception(error)
        gc.collect()

    eventloop.run(main())
    assert len(caplog.messages) == told
