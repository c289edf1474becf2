"""Entries in the journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

from __future__ import annotations

import logging
import os
import socket
import struct
from pathlib import Path

import pytest

from comfymesh.runtime import journal, logs


def read(data: bytes) -> dict[str, str]:
    """The fields of an entry."""
    fields = {}
    while data:
        name, _, rest = data.partition(b"\n")
        (length,) = struct.unpack("<Q", rest[:8])
        fields[name.decode()] = rest[8 : 8 + length].decode()
        assert rest[8 + length : 9 + length] == b"\n"
        data = rest[9 + length :]
    return fields


def test_an_entry_has_the_sentence_its_level_and_each_field(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        handler = journal.JournalHandler("agent", logs.fields, path)
        record = logging.makeLogRecord(
            {"name": "comfymesh.x", "levelno": logging.WARNING, "msg": "two\nlines %d", "args": (5,)}
        )
        record.action, record.task_id = "attempt_stale", "one"
        handler.handle(record)
        handler.close()
        assert read(listener.recv(10_000)) == {
            "MESSAGE": "two\nlines 5",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "comfymesh-agent",
            "COMFYMESH_LOGGER": "comfymesh.x",
            "COMFYMESH_ACTION": "attempt_stale",
            "COMFYMESH_TASK_ID": "one",
        }


def test_a_traceback_is_part_of_the_message(tmp_path: Path) -> None:
    handler = journal.JournalHandler("agent", logs.fields, str(tmp_path / "journal"))
    try:
        int("no")
    except ValueError as error:
        told = handler.format(
            logging.makeLogRecord({"msg": "it broke", "exc_info": (ValueError, error, error.__traceback__)})
        )
    handler.close()
    assert told.startswith("it broke\nTraceback")
    assert told.endswith("'no'")


def test_what_the_journal_does_not_take_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = journal.JournalHandler("agent", logs.fields, str(tmp_path / "nobody"))
    handler.handle(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "it broke"}))
    handler.close()
    assert capsys.readouterr().err == "<3>it broke\n"


def test_long_values_are_cut() -> None:
    assert len(read(journal.entry({"MESSAGE": "x" * 200_000}))["MESSAGE"]) == 64 * 1024


def test_standard_error_goes_to_the_journal_only_where_the_journal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", other)
        told = os.fstat(other.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{told.st_dev}:{told.st_ino}")
        assert journal.takes_stderr()
        monkeypatch.setenv("JOURNAL_STREAM", f"{told.st_dev}:{told.st_ino + 1}")
        assert not journal.takes_stderr()
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not journal.takes_stderr()
