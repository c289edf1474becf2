"""When a mesh on one machine is ready."""

from __future__ import annotations

import pytest

from comfymesh.client import Instance, InstanceState
from comfymesh.stack.mesh import ready


@pytest.mark.parametrize(
    ("state", "classes", "is_ready"),
    [
        (InstanceState.READY, 0, True),
        (InstanceState.BUSY, 9, True),
        (InstanceState.STOPPED, 9, True),
        (InstanceState.STOPPED, 0, False),
        (InstanceState.STARTING, 9, False),
        (InstanceState.DOWN, 9, False),
    ],
)
def test_a_pool_that_is_known_is_ready_though_none_of_it_runs(
    state: InstanceState,
    classes: int,
    is_ready: bool,  # noqa: FBT001  # what is expected
) -> None:
    assert ready(Instance(name="a", state=state, node_class_count=classes)) is is_ready
