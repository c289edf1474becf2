"""The file of a backup: whole or not there, and every damage is noticed."""

from __future__ import annotations

import fcntl
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfymesh.backup import manifest
from comfymesh.backup.archive import Reader, Writer
from comfymesh.backup.errors import BackupError
from comfymesh.backup.manifest import Manifest, StreamBackup

PARTS = [b"a" * 5000, b"b" * 3000]


def write(path: Path) -> Manifest:
    with Writer(path) as writer:
        parts = tuple(writer.part("TASKS", number, data) for number, data in enumerate(PARTS))
        stream = StreamBackup(name="TASKS", config={"name": "TASKS"}, state={"last_seq": 7, "messages": 5}, parts=parts)
        made = Manifest(id="one", began="then", ended="now", server="2.15.1", artifacts="nats", streams=(stream,))
        writer.finish(made)
    return made


def test_what_was_written_is_read(tmp_path: Path) -> None:
    made = write(tmp_path / "x")
    with Reader(tmp_path / "x") as reader:
        reader.verify()
        assert reader.manifest == made
        assert [*reader.parts(made.streams[0])] == PARTS
    assert made.streams[0].size == 8000
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def interrupt(path: Path, error: BaseException) -> None:
    with Writer(path) as writer:
        writer.part("TASKS", 0, b"data")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BackupError("SNAPSHOT_BROKEN", "it broke")])
def test_what_was_interrupted_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        interrupt(tmp_path / "x", error)
    assert [*tmp_path.iterdir()] == []


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file takes more than three parts of 100 kB, and not the next one's header."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 100_864, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_much(path: Path) -> None:
    with Writer(path) as writer:
        for number in range(10):
            writer.part("TASKS", number, b"a" * 100_000)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="too large") as caught:
        write_much(tmp_path / "x")
    assert caught.value.reason == "FILE_UNWRITABLE"
    assert [*tmp_path.iterdir()] == []


def test_what_a_killed_one_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "x.partial").write_bytes(b"left")
    write(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_two_backups_to_one_file_do_not_share_it(tmp_path: Path) -> None:
    with Writer(tmp_path / "x") as first:
        first.part("TASKS", 0, b"data")
        with pytest.raises(BackupError) as caught:
            write(tmp_path / "x")
        assert caught.value.reason == "BACKUP_RUNS"
        write(tmp_path / "y")
        first.finish(Manifest(id="one", began="then", ended="now", server="2.15.1", artifacts="nats", streams=()))
    with Reader(tmp_path / "x") as reader:
        assert reader.manifest.id == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]


def test_what_was_put_in_its_place_meanwhile_is_not_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def late(number: int, how: int) -> None:
        """The other one ends between our open and our lock."""
        (tmp_path / "x.partial").rename(tmp_path / "x")
        lock(number, how)

    monkeypatch.setattr(fcntl, "flock", late)
    (tmp_path / "x.partial").write_bytes(b"a whole backup")
    with pytest.raises(BackupError) as caught:
        Writer(tmp_path / "x")
    assert caught.value.reason == "BACKUP_RUNS"
    assert (tmp_path / "x").read_bytes() == b"a whole backup"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write(tmp_path / "x")
    with pytest.raises(BackupError) as caught:
        Writer(tmp_path / "x")
    assert caught.value.reason == "FILE_EXISTS"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="No such file") as caught:
        Writer(tmp_path / "no" / "x")
    assert caught.value.reason == "FILE_UNWRITABLE"


def test_every_byte_counts(tmp_path: Path) -> None:
    """Wherever one is turned in what the archive says or holds, it is refused."""
    write(tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    held = [whole.index(PARTS[0]), whole.index(PARTS[1]) + 2999, whole.index(b'"last_seq"'), whole.index(b'"then"')]
    for place in held:
        (tmp_path / "y").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupError, match="damaged"), Reader(tmp_path / "y") as reader:
            reader.verify()


@pytest.mark.parametrize("length", [0, 100, 5000, 8500, 10000])
def test_what_was_cut_off_is_no_backup(tmp_path: Path, length: int) -> None:
    write(tmp_path / "x")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:length])
    with pytest.raises(BackupError) as caught, Reader(tmp_path / "x"):
        pass
    assert caught.value.reason in {"BACKUP_INCOMPLETE", "BACKUP_UNREADABLE"}


def test_a_later_format_is_refused() -> None:
    later = Manifest(version=2, id="one", began="", ended="", server="", artifacts="nats", streams=())
    with pytest.raises(BackupError) as caught:
        manifest.parse(later.model_dump_json().encode())
    assert caught.value.reason == "BACKUP_TOO_NEW"
