"""What is kept of a process that must be found again: its identity, its port, its spec, and how it ended."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes.process_table import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of an instance.

    Attributes:
        process: Who it is.
        port: Where it listens on the loopback interface.
        digest: Of the spec that it was started with.
        exit_code: As a shell gives it; None while it runs, and when nobody was there to see it.
    """

    process: ProcessIdentity
    port: int
    digest: str
    exit_code: int | None = None


def read(path: Path) -> ProcessRecord | None:
    """Return the record; None where there is none, or none that can be read."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return ProcessRecord(**(fields | {"process": ProcessIdentity(**fields["process"])}))
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None


def write(path: Path, record: ProcessRecord) -> None:
    """Put the record in its place in one move, so that no reader sees half of it."""
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(json.dumps(dataclasses.asdict(record)), encoding="utf-8")
    draft.replace(path)


@contextmanager
def launch_lock(path: Path) -> Iterator[int]:
    """Hold the lock of one instance's launches; give its descriptor.

    A child that inherits the descriptor keeps the lock until it closes it. Blocks while another holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
