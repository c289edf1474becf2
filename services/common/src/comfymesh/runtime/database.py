"""A process's own SQLite database: kept in a folder for its next life, or gone with it. Only this module knows SQLite.

It holds what can be had again, so whatever is doubtful about a kept one is a reason to begin anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from comfymesh.runtime.faultpoints import FaultPoint, reached

logger = logging.getLogger(__name__)

_SLOTS = 64
_DO_WITHOUT_SECONDS = 600.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CLEAN = "clean"

_META = "CREATE TABLE meta (layout TEXT NOT NULL, boot TEXT NOT NULL, note TEXT NOT NULL)"


class DatabaseBrokenError(Exception):
    """The database can't be read or written. It has been thrown away; the next life begins anew."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a kept database is, and the lock that says that it is ours."""

    path: Path
    lock: int

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(".broken")

    def remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def give_up(self) -> None:
        """What failed here would fail again in the next life, as on a full disk: it does without for some time."""
        with contextlib.suppress(OSError):
            self.remove()
            self._mark.touch()

    def check(self) -> None:
        """Raises OSError where the last life gave it up, not long ago."""
        if self._mark.exists() and time.time() - self._mark.stat().st_mtime < _DO_WITHOUT_SECONDS:
            raise OSError(f"{self.path} failed less than {_DO_WITHOUT_SECONDS / 60:.0f} minutes ago")


class Database:
    """Holds tables and a note, which is written together with what it is about.

    A process may be killed at any moment: what was begun then is taken back. For speed nothing is synced before the
    end, so a file that was in use when the machine went down is not used again.

    Args:
        place: Where it is kept; None where it goes with the process.
        layout: Says how it is laid out; a file of another layout is not used.

    Attributes:
        note: What the last transaction that had a note said; empty where there was none.
    """

    def __init__(self, place: _Place | None, layout: str) -> None:
        self._place = place
        self._layout = hashlib.sha256(layout.encode()).hexdigest()
        self._connection = sqlite3.connect(place.path if place else _temporary(), isolation_level=None)
        self.note = ""

    @classmethod
    def open(cls, folder: str, name: str, layout: str) -> Self:
        """The database of that name in a folder, or the next one where another process uses it; empty without a `note`.

        Without a folder, or where it can't be used, one that goes with the process.
        """
        if folder and _boot():
            try:
                return cls._kept(Path(folder), name, layout)
            except (OSError, sqlite3.Error) as error:
                logger.warning("nothing can be kept in %s: %s", folder, error, extra={"action": "checkpoint_off"})
        return cls.temporary(layout)

    @classmethod
    def temporary(cls, layout: str) -> Self:
        """One that goes with the process."""
        database = cls(None, layout)
        database._begin_anew()
        return database

    @classmethod
    def _kept(cls, folder: Path, name: str, layout: str) -> Self:
        folder.mkdir(parents=True, exist_ok=True)
        place = _occupy(folder, name)
        try:
            place.check()
            database = cls(place, layout)
            database._open_or_replace()
        except BaseException:
            os.close(place.lock)
            raise
        return database

    @property
    def kept(self) -> bool:
        """Whether there is a next life for what it holds."""
        return self._place is not None

    def close(self) -> None:
        """Drop it, or leave it whole for the next life, even if the machine goes down after that."""
        try:
            if self._place is not None and self.note:
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("UPDATE meta SET boot = ?", (_CLEAN,))
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
        except sqlite3.Error as error:
            raise self._broken(error) from error
        finally:
            if self._place is not None:
                os.close(self._place.lock)
                self._place = None

    def clear(self) -> None:
        """Throw away what it holds."""
        if self._place is None:
            self._connection.close()
            self._connection = sqlite3.connect(_temporary(), isolation_level=None)
            self._begin_anew()
        else:
            self._replace(self._place)

    def script(self, statements: str) -> None:
        """Execute statements of our own."""
        try:
            self._connection.executescript(statements)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute a statement."""
        try:
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each row of values."""
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Everything that a question is answered with."""
        try:
            return self.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from error

    @contextmanager
    def transaction(self, note: str = "") -> Iterator[None]:
        """All that is executed within, and the note, or nothing of it."""
        self.execute("BEGIN")
        try:
            yield
            if note and self.kept:
                self.execute("UPDATE meta SET note = ?", (note,))
        except BaseException:
            self._connection.rollback()
            raise
        reached(FaultPoint.CHECKPOINT_WRITTEN)
        self.execute("COMMIT")
        self.note = note or self.note

    def _open_or_replace(self) -> None:
        assert self._place is not None
        try:
            row = self._connection.execute("SELECT layout, boot, note FROM meta").fetchone()
        except sqlite3.Error:  # It is new, truncated, or none of ours.
            row = None
        if row is None or row[0] != self._layout or row[1] not in {_boot(), _CLEAN} or not row[2]:
            self._replace(self._place)
            return
        self.note = row[2]
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("UPDATE meta SET boot = ?", (_boot(),))
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._tune()

    def _replace(self, place: _Place) -> None:
        self._connection.close()
        place.remove()
        self._connection = sqlite3.connect(place.path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._connection.execute(_META)
        self._connection.execute("INSERT INTO meta VALUES (?, ?, '')", (self._layout, _boot()))
        self.note = ""
        self._tune()

    def _tune(self) -> None:
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA cache_size = -65536")  # KiB

    def _broken(self, error: sqlite3.Error) -> DatabaseBrokenError:
        """Nothing of a database that failed is believed again."""
        if self._place is not None:
            self._place.give_up()
        return DatabaseBrokenError(f"the database {self._place.path if self._place else ''} failed: {error}")


def _occupy(folder: Path, name: str) -> _Place:
    """The first place that no living process has."""
    for slot in range(_SLOTS):
        lock = os.open(folder / f"{name}-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return _Place(folder / f"{name}-{slot}.sqlite", lock)
    raise OSError(f"{_SLOTS} processes use it already")


@cache
def _boot() -> str:
    """Which start of the machine this is; empty where it can't be told."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _temporary() -> str:
    """A file of SQLite's own that nobody else sees; memory where there is no place for one."""
    try:
        with tempfile.TemporaryFile():
            return ""
    except OSError:
        return ":memory:"
