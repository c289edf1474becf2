"""Checks of the workflows by which instances of pools are warmed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfymesh.agent.checks.findings import Outcome
from comfymesh.agent.checks.warm_up import check_warm_up
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.testkit import graphs


def pool(warm_up: Path | None) -> PoolSpec:
    return PoolSpec.model_validate({"name": "p", "instance": {"runtime": "docker", "image": "x"}, "warm_up": warm_up})


def test_a_workflow_that_can_be_read_is_in_order_and_a_pool_needs_none(tmp_path: Path) -> None:
    file = tmp_path / "warm-up.json"
    file.write_text(graphs.text(graphs.picture()))
    (finding,) = check_warm_up([pool(None), pool(file)])
    assert finding.outcome is Outcome.OK
    assert finding.found.endswith("graph nodes")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Expecting value"),
        (b"\xff", "can't decode"),
        (b"[]", "is no workflow in ComfyUI's API format"),
        (b'{"nodes": [], "links": []}', "is no workflow in ComfyUI's API format"),
        (None, "No such file"),
    ],
)
def test_a_file_that_holds_none_is_said_before_an_instance_starts(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "warm-up.json"
    if content is not None:
        file.write_bytes(content)
    (finding,) = check_warm_up([pool(file)])
    assert finding.outcome is Outcome.FAILED
    assert said in finding.found
    assert str(file) in finding.tried
