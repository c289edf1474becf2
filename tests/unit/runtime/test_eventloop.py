"""What processes run on."""

from __future__ import annotations

import gc
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
