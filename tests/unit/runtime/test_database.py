"""A database that is kept for the next life, and every way in which it may not be believed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from comfymesh.runtime import database
from comfymesh.runtime.database import Database, DatabaseBrokenError

SCHEMA = "CREATE TABLE numbers (n INTEGER NOT NULL)"


def opened(folder: Path, layout: str = "one") -> Database:
    return Database.open(str(folder), "test", layout)


def fill(made: Database, *numbers: int, note: str = "noted") -> None:
    with made.transaction(note):
        made.execute_many("INSERT INTO numbers VALUES (?)", [(n,) for n in numbers])


def keep(folder: Path, *numbers: int) -> None:
    with closing(opened(folder)) as made:
        made.script(SCHEMA)
        fill(made, *numbers)


def numbers(made: Database) -> list[int]:
    return [n for (n,) in made.rows("SELECT n FROM numbers ORDER BY n")]


def file(folder: Path) -> Path:
    (found,) = folder.glob("*.sqlite")
    return found


def test_what_was_kept_is_there_in_the_next_life(tmp_path: Path) -> None:
    keep(tmp_path, 1, 2)
    with closing(opened(tmp_path)) as again:
        assert (again.kept, again.note, numbers(again)) == (True, "noted", [1, 2])


def test_without_a_note_nothing_is_worth_keeping(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as made:
        made.script(SCHEMA)
        fill(made, 1, note="")
    with closing(opened(tmp_path)) as again:
        assert again.note == ""
        again.script(SCHEMA)
        assert numbers(again) == []


def test_without_a_folder_it_goes_with_the_process() -> None:
    with closing(Database.open("", "test", "one")) as made:
        made.script(SCHEMA)
        fill(made, 1)
        assert (made.kept, numbers(made)) == (False, [1])
        made.clear()
        made.script(SCHEMA)
        assert numbers(made) == []


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    with closing(opened(tmp_path)) as first, closing(opened(tmp_path)) as second:
        assert (first.note, second.note) == ("noted", "")
        second.script(SCHEMA)
        fill(second, 2)
    with closing(opened(tmp_path)) as first, closing(opened(tmp_path)) as second:
        assert (numbers(first), numbers(second)) == ([1], [2])


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_a_file_that_was_cut_off_is_not_used(tmp_path: Path, size: int) -> None:
    keep(tmp_path, *range(5000))
    os.truncate(file(tmp_path), size)
    with closing(opened(tmp_path)) as again:
        assert again.note == ""
        again.script(SCHEMA)
        assert numbers(again) == []


@pytest.mark.parametrize("content", [b"hello", b"SQLite format 3\0" + bytes(4080)], ids=["text", "header only"])
def test_a_file_that_is_something_else_is_not_used(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, 1)
    file(tmp_path).write_bytes(content)
    with closing(opened(tmp_path)) as again:
        assert again.note == ""


def test_a_file_of_another_layout_is_not_used(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    with closing(opened(tmp_path, "two")) as again:
        assert again.note == ""


def test_a_file_that_was_in_use_when_the_machine_went_down_is_not_used(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    with patch.object(database, "_boot", lambda: "an earlier start"):
        killed = opened(tmp_path)
        assert killed.note == "noted"
        os.close(killed._place.lock)  # type: ignore[union-attr]  # the lock goes with its process
    with closing(opened(tmp_path)) as again:
        assert again.note == ""


def test_a_file_that_was_closed_is_used_after_the_next_start_of_the_machine(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    with patch.object(database, "_boot", lambda: "a later start"), closing(opened(tmp_path)) as again:
        assert numbers(again) == [1]


def test_a_folder_that_cannot_be_used_costs_the_keeping_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with closing(opened(tmp_path / "file")) as made:
        assert not made.kept
    assert [vars(record)["action"] for record in caplog.records] == ["checkpoint_off"]


def test_a_transaction_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    with closing(opened(tmp_path)) as again:
        with pytest.raises(DatabaseBrokenError):
            fill(again, 2, None)  # type: ignore[arg-type]  # what the table does not take
        assert (again.note, numbers(again)) == ("noted", [1])


def test_what_fails_in_use_is_thrown_away(tmp_path: Path) -> None:
    keep(tmp_path, *range(50_000))
    with file(tmp_path).open("r+b") as damaged:
        damaged.seek(3 * 4096)
        damaged.write(os.urandom(40 * 4096))
    with closing(opened(tmp_path)) as again, pytest.raises(DatabaseBrokenError):
        numbers(again)
    assert list(tmp_path.glob("*.sqlite")) == []
    # Whatever it was, on a full disk it would be the same again: the next life does without.
    with closing(opened(tmp_path)) as next_life:
        assert not next_life.kept
    (mark,) = tmp_path.glob("*.broken")
    os.utime(mark, (0, 0))
    with closing(opened(tmp_path)) as later:
        assert later.kept


def write_for_ever(folder: str, told: multiprocessing.synchronize.Event) -> None:
    made = opened(Path(folder))
    made.script(SCHEMA)
    for n in range(1_000_000):
        fill(made, *range(n * 100, n * 100 + 100), note=str(n))
        if n == 20:
            told.set()


def test_who_is_killed_while_writing_leaves_whole_transactions(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Event()
    writer = context.Process(target=write_for_ever, args=(str(tmp_path), told))
    writer.start()
    assert told.wait(30)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    with closing(opened(tmp_path)) as again:
        assert numbers(again) == list(range(int(again.note) * 100 + 100))
