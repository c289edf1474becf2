"""Three machines carry a mesh: any of them is lost under load, everything is restarted, and every promise is kept."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from comfymesh.testkit.chaos.__main__ import summary
from comfymesh.testkit.chaos.cluster import IN_TURN, MACHINES
from comfymesh.testkit.chaos.machines import Loss, lose_each, losses
from comfymesh.testkit.checking import check
from comfymesh.testkit.history import Fault, Logged
from comfymesh.testkit.recording import save

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nats" / "cluster.conf"
LOST = [Loss("m0", "power", 1.0), Loss("m1", "cut", 1.0), Loss("m2", "dead", 1.0)]
SEED = 3


@pytest.mark.timeout(300)
async def test_any_machine_may_be_lost_and_all_be_restarted_under_load(tmp_path: Path) -> None:
    """Users of the SDK meet no error while each process is restarted; nothing is lost at any time."""
    cluster = await lose_each(SEED, LOST, tmp_path, CONFIGURATION, count=1)
    history = cluster.chaos.history
    save(history, tmp_path / "history.jsonl")
    verdict = check(history)
    assert [str(found) for found in verdict.violations] == [], summary(cluster.chaos, verdict)
    assert cluster.users.failures == []
    assert min(cluster.users.calls.values()) >= 1
    done = Counter(event.what for event in history if isinstance(event, Fault))
    assert [done[f"loss of {loss.what} is over"] for loss in LOST] == [1, 1, 1]
    assert [event.target for event in history if isinstance(event, Fault) and event.what == "restart"] == [*IN_TURN]
    assert sum(isinstance(event, Logged) for event in history) > 20


def test_a_plan_loses_each_machine_in_each_way_and_one_at_a_time() -> None:
    made = losses(random.Random(1), 120)
    assert {(loss.machine, loss.what) for loss in made} == {(m, w) for m in MACHINES for w in ("power", "cut", "dead")}
    assert sum(loss.lasts for loss in made[:-1]) < 120
