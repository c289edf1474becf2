"""What a backup takes, and what forbids to put it back."""

from __future__ import annotations

import pytest

from comfymesh.backup import plan
from comfymesh.backup.errors import BackupError
from comfymesh.backup.manifest import Manifest, StreamBackup
from comfymesh.backup.plan import RESTORED, Found
from comfymesh.bus import streams
from comfymesh.bus.streams import Storage

NAMES = ("TASKS", "ACCOUNTS", "BLOBS")


def kept(name: str) -> StreamBackup:
    return StreamBackup(name=name, config={"name": name}, state={"last_seq": 7, "messages": 5}, parts=())


MANIFEST = Manifest(id="one", began="", ended="", server="", artifacts="nats", streams=tuple(map(kept, NAMES)))


def restored(found: dict[str, Found], *, replace: bool = False, live: bool = False) -> tuple[list[str], list[str]]:
    wanted, removed = plan.to_restore(MANIFEST, found, replace=replace, live=live)
    return [stream.name for stream in wanted], removed


def test_all_that_is_on_the_disk_is_kept_but_the_lease() -> None:
    assert {stream.name for stream in streams.ALL if stream.storage is Storage.FILE} == {*plan.KEPT, "LEASES"}


def test_what_names_comes_before_what_is_named() -> None:
    order = [plan.KEPT.index(name) for name in ("ALERTS", "TASKS", "WORKFLOWS", "BLOBS")]
    assert order == sorted(order)
    assert plan.KEPT.index("TASKS") < plan.KEPT.index("ACCOUNTS")


def test_an_empty_server_takes_everything_and_the_tasks_after_what_they_name() -> None:
    assert restored({}) == (["BLOBS", "ACCOUNTS", "TASKS"], [])


def test_streams_that_are_empty_are_made_again() -> None:
    assert restored({"TASKS": Found(), "BLOBS": Found(last=9)}) == (["BLOBS", "ACCOUNTS", "TASKS"], ["BLOBS", "TASKS"])


def test_what_is_there_goes_only_when_told() -> None:
    with pytest.raises(BackupError, match="TASKS would be lost") as caught:
        restored({"TASKS": Found(messages=1)})
    assert caught.value.reason == "STREAMS_NOT_EMPTY"
    assert restored({"TASKS": Found(messages=1)}, replace=True) == (["BLOBS", "ACCOUNTS", "TASKS"], ["TASKS"])


@pytest.mark.parametrize("found", [{"TASKS": Found(consumers=1)}, {"REPORTS": Found(messages=1)}])
def test_nothing_is_restored_under_a_mesh_that_runs_unless_told(found: dict[str, Found]) -> None:
    with pytest.raises(BackupError, match="Stop every api") as caught:
        restored(found, replace=True)
    assert caught.value.reason == "MESH_ALIVE"
    assert restored(found, replace=True, live=True)[0] == ["BLOBS", "ACCOUNTS", "TASKS"]


def test_one_that_was_cut_off_goes_on_where_it_was() -> None:
    found = {"BLOBS": Found(messages=5, last=7, restored="one"), "ACCOUNTS": Found(messages=5, last=7, restored="one")}
    assert restored(found) == (["TASKS"], [])


@pytest.mark.parametrize("other", [Found(5, 7, restored="other"), Found(3, 5, restored="one"), Found(5, 7)])
def test_what_another_backup_or_somebody_else_has_written_is_in_the_way(other: Found) -> None:
    with pytest.raises(BackupError, match="BLOBS would be lost"):
        restored({"BLOBS": other})


def test_a_stream_is_made_as_it_was_but_for_copies_and_mark() -> None:
    stream = StreamBackup(
        name="TASKS",
        config={"name": "TASKS", "num_replicas": 1, "metadata": {"_nats.ver": "2.11", "own": "x", RESTORED: "older"}},
        state={},
        parts=(),
    )
    made = plan.configuration(stream, "one", 3)
    assert made == {"name": "TASKS", "num_replicas": 3, "metadata": {"own": "x", RESTORED: "one"}}


def test_streams_of_a_later_version_are_refused() -> None:
    with pytest.raises(BackupError, match="DREAMS") as caught:
        plan.check_known(["TASKS", "DREAMS"])
    assert caught.value.reason == "BACKUP_UNKNOWN"
