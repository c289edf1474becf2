"""The process runtime: a ComfyUI that runs as a child of the agent, outlives it, and is adopted by the next agent."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes import output_log, ports, process_record, sweeping
from comfymesh.agent.runtimes.contract import (
    Absent,
    Endpoint,
    Exited,
    Running,
    RuntimeFailed,
    RuntimeFailureReason,
    Status,
    silently,
)
from comfymesh.agent.runtimes.launch import command_line
from comfymesh.agent.runtimes.process_command import command_of, environment_of
from comfymesh.agent.runtimes.process_spawn import spawn
from comfymesh.agent.runtimes.process_table import ProcessHandle, is_alive, memory_bytes, reap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from comfymesh.agent.runtimes.process_record import ProcessRecord
    from comfymesh.agent.runtimes.specs import ProcessSpec

logger = logging.getLogger(__name__)

_KILLED_SECONDS = 10.0
"""How long a process that was killed is waited for."""


class ProcessRuntime:
    """One ComfyUI process, found again by its record in `STATE_DIRECTORY/instances/NAME/process.json`."""

    sees_process = True

    def __init__(self, spec: ProcessSpec, *, node: str, state_directory: Path) -> None:
        self._spec = spec
        self._node = node
        self._home = state_directory.absolute() / "instances" / spec.name
        self._record_path = self._home / "process.json"
        self._log_path = self._home / "output.log"

    async def start(self, tell: Callable[[str], None] = silently) -> Endpoint:  # noqa: ARG002 - nothing takes long
        """Adopt the process that the record names, or launch one."""
        record = await asyncio.to_thread(self._settled_record)
        if record is not None and is_alive(record.process):
            logger.info("Adopted a running ComfyUI process.", extra=self._extra(record))
            return _endpoint(record)
        record = await asyncio.to_thread(self._launch)
        logger.info("Launched a ComfyUI process.", extra=self._extra(record))
        return _endpoint(record)

    async def stop(self, grace: timedelta) -> None:
        """Ask with SIGINT, on which ComfyUI cleans up (ComfyUI protocol notes, section 12), then insist."""
        record = await asyncio.to_thread(self._settled_record)
        if record is None:
            return
        await self._end(record, grace)
        await asyncio.to_thread(self._forget)
        logger.info("Stopped a ComfyUI process.", extra=self._extra(record))

    async def poll(self) -> Status:
        """Look at the process that the record names; reap it when it is a dead child of this agent."""
        return await asyncio.to_thread(self._poll)

    async def log_tail(self, lines: int) -> str:
        """Return the end of the output file of the latest process."""
        return await asyncio.to_thread(output_log.tail, self._log_path, lines)

    async def remove_folders(self, folders: Sequence[str]) -> None:
        """Remove them from this host."""
        roots = [self._home / "data" / kind for kind in sweeping.KINDS]
        await asyncio.to_thread(sweeping.remove, roots, folders)

    async def memory_bytes(self) -> int | None:
        """Return the anonymous and shared memory of the process; model files that it has mapped do not count."""
        return await asyncio.to_thread(self._memory_bytes)

    async def close(self) -> None:
        """Do nothing: the object holds only names."""

    def _memory_bytes(self) -> int | None:
        record = process_record.read(self._record_path)
        return None if record is None or not is_alive(record.process) else memory_bytes(record.process.pid)

    def _settled_record(self) -> ProcessRecord | None:
        """Return the record, once no child that an earlier agent launched is still about to write it."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._launch_lock():
            return process_record.read(self._record_path)

    def _poll(self) -> Status:
        record = process_record.read(self._record_path)
        if record is None:
            return Absent()
        if is_alive(record.process):
            output_log.bound(self._log_path)
            return Running()
        return _exited(self._with_exit_code(record))

    def _with_exit_code(self, record: ProcessRecord) -> ProcessRecord:
        """Reap a dead child and write down how it ended, so that it is known to later objects too."""
        code = reap(record.process)
        if code is None:
            return record
        ended = dataclasses.replace(record, exit_code=code)
        with self._launch_lock():
            if process_record.read(self._record_path) == record:  # not stopped or started anew in the meantime
                process_record.write(self._record_path, ended)
        return ended

    def _forget(self) -> None:
        with self._launch_lock():
            self._record_path.unlink(missing_ok=True)

    def _launch(self) -> ProcessRecord:
        port = self._port()
        command = command_of(self._spec, base_directory=self._home / "data", port=port)
        output_log.rotate(self._log_path)
        with self._launch_lock() as lock:
            self._record_path.unlink(missing_ok=True)
            spawn(
                command_line(command, record=self._record_path, port=port, digest=self._spec.digest),
                environment=environment_of(self._spec),
                log=self._log_path,
                lock=lock,
            )
        record = self._settled_record()  # the child has the lock until it has become ComfyUI
        if record is None:
            raise RuntimeFailed(
                RuntimeFailureReason.ENDED_AT_START,
                f"the launcher of instance {self._spec.name} ended before ComfyUI could start: "
                f"{output_log.tail(self._log_path, 5).strip()}",
            )
        return record

    def _port(self) -> int:
        wanted = self._spec.port
        if wanted and not ports.is_free(wanted):
            raise RuntimeFailed(
                RuntimeFailureReason.PORT_TAKEN,
                f"cannot start instance {self._spec.name} on 127.0.0.1:{wanted}: another process listens there; "
                f"free it, or set the port to 0 and the agent chooses",
            )
        port = wanted or ports.choose(f"{self._node}/{self._home}", self._ports_of_siblings())
        if port is None:
            raise RuntimeFailed(
                RuntimeFailureReason.PORT_TAKEN,
                f"cannot start instance {self._spec.name}: none of the ports from {ports.FIRST} on is free",
            )
        return port

    def _ports_of_siblings(self) -> set[int]:
        """Return the ports given to other instances, which may not have opened them yet."""
        records = map(process_record.read, self._home.parent.glob("*/process.json"))
        return {record.port for record in records if record is not None and is_alive(record.process)}

    async def _end(self, record: ProcessRecord, grace: timedelta) -> None:
        try:
            handle = ProcessHandle(record.process)
        except ProcessLookupError:
            return
        with closing(handle):
            for number in (signal.SIGINT, signal.SIGTERM):
                handle.send(number)
                if await handle.wait(grace.total_seconds() / 2):
                    break
            else:
                handle.kill_group()
                await handle.wait(_KILLED_SECONDS)
        reap(record.process)

    def _launch_lock(self) -> AbstractContextManager[int]:
        return process_record.launch_lock(self._home / "launch.lock")

    def _extra(self, record: ProcessRecord) -> dict[str, object]:
        return {"instance": self._spec.name, "pid": record.process.pid, "port": record.port}


def _endpoint(record: ProcessRecord) -> Endpoint:
    return Endpoint(f"http://127.0.0.1:{record.port}", record.digest)


def _exited(record: ProcessRecord) -> Exited:
    code = record.exit_code
    if code is None:
        return Exited(None, "ended while no agent was watching")
    if code > 128:
        return Exited(code, f"killed by {_signal_name(code - 128)}")
    return Exited(code, f"ended by itself with code {code}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
