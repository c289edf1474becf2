"""What an earlier agent left, and no setting names any more, is ended."""

from __future__ import annotations

from pathlib import Path

from comfymesh.agent.runtimes.contract import Absent, Running
from comfymesh.agent.runtimes.orphans import end_orphans
from comfymesh.testkit.instances import ProcessWorld


async def test_a_process_that_no_setting_names_is_ended_and_one_that_is_named_is_not(tmp_path: Path) -> None:
    world = ProcessWorld(tmp_path)
    kept, left = await world.runtime(), await world.runtime(name="two")
    await kept.start()
    await left.start()
    try:
        spec = kept._spec  # type: ignore[attr-defined]  # what the settings hold
        assert await end_orphans([spec], node="here", state_directory=tmp_path) == ["two"]
        assert await left.poll() == Absent()
        assert await kept.poll() == Running()
        assert await end_orphans([spec], node="here", state_directory=tmp_path) == []
        assert await end_orphans([], node="here", state_directory=tmp_path) == ["one"]
    finally:
        await world.close()


async def test_nothing_left_is_nothing_to_do(tmp_path: Path) -> None:
    assert await end_orphans([], node="here", state_directory=tmp_path) == []
