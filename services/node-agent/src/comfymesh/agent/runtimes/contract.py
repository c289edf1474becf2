"""What every runtime promises, and the values it speaks in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API of an instance is to be reached from the agent.

    Attributes:
        base_url: Scheme, host and port, without a slash at the end.
        digest: Of the settings by which what runs there was made; None where nobody of ours has made it.
    """

    base_url: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """The process or container is alive. Whether it answers HTTP is for the caller to find out."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The instance was started and ended by itself, or by another hand.

    Attributes:
        code: Exit code as a shell gives it (128 + signal for a death by signal); None when nobody was there to see it.
        reason: For people: how it ended.
    """

    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such instance: never started, stopped, or removed behind the agent's back."""


Status = Running | Exited | Absent


class RuntimeFailureReason(StrEnum):
    """Why a runtime could not do what it was asked; stable words for machines."""

    COMMAND_NOT_FOUND = "COMMAND_NOT_FOUND"
    DIRECTORY_INVALID = "DIRECTORY_INVALID"
    DISK_FULL = "DISK_FULL"
    ENDED_AT_START = "ENDED_AT_START"
    ENGINE_REFUSED = "ENGINE_REFUSED"
    ENGINE_TIMEOUT = "ENGINE_TIMEOUT"
    ENGINE_UNREACHABLE = "ENGINE_UNREACHABLE"
    GPU_UNAVAILABLE = "GPU_UNAVAILABLE"
    IMAGE_MISSING = "IMAGE_MISSING"
    MODELS_MISSING = "MODELS_MISSING"
    MOUNT_REFUSED = "MOUNT_REFUSED"
    NAME_TAKEN = "NAME_TAKEN"
    PORT_TAKEN = "PORT_TAKEN"


class RuntimeFailed(Exception):  # noqa: N818 - a `RuntimeError` is Python's own and means something else
    """A runtime could not do what it was asked.

    Attributes:
        reason: For machines.
        message: For people: what was tried, what went wrong, what to do.
    """

    def __init__(self, reason: RuntimeFailureReason, message: str) -> None:
        super().__init__(f"{message} [{reason}]")
        self.reason = reason
        self.message = message


def silently(_: str) -> None:
    """Tell nobody."""


class Runtime(Protocol):
    """One ComfyUI instance on this node.

    An object is only a handle: what it answers is read from the world, never from its memory. So an agent that was
    killed makes the same object anew and goes on where the last one was. Calls on one object may overlap, except that
    `start` and `stop` are called one at a time. Every method raises `RuntimeFailed` when it cannot find out or cannot
    do it, and none blocks the event loop.

    Attributes:
        sees_process: Whether `poll` looks at the process: it has ended, with a code, whatever answers at its port. Else
            it sees no more than a request does.
    """

    sees_process: bool

    async def start(self, tell: Callable[[str], None] = silently) -> Endpoint:
        """Make sure that the instance runs, and say where.

        What takes long on the way, such as the pull of an image, is told in words.

        Adopts one that runs already, and says by which settings it was made. Whether those are still wanted, and when
        it may be replaced, is for others to say: it may execute a prompt. Replaces one that has ended.
        Returns as soon as the process or container runs: ComfyUI opens its port only some seconds later (ComfyUI
        protocol notes, section 12).
        """

    async def stop(self, grace: timedelta) -> None:
        """End the instance and remove what belongs to it alone; afterwards it is `Absent`.

        It is asked to end first, and killed after `grace`. Nothing to stop is a success. An attached instance belongs
        to someone else: stopping it does nothing.
        """

    async def poll(self) -> Status:
        """Say how the instance is.

        - Before `start`: what an earlier agent left, `Running` or `Exited`; otherwise `Absent`.
        - After `start`: `Running`, from the first moment on.
        - Once it ended by itself: `Exited`, until the next `start` or `stop`.
        - After `stop`, or when somebody removed it: `Absent`.

        An attached instance has no process that could be looked at: it is `Running` while its port accepts connections,
        and `Absent` otherwise.
        """

    async def log_tail(self, lines: int) -> str:
        """Return the last lines of the output, at most `LOG_TAIL_BYTES`; empty where there is none."""

    async def remove_folders(self, folders: Sequence[str]) -> None:
        """Remove folders below the instance's for inputs, outputs and temporary files. Those not there are no error.

        An attached instance keeps its files: they are someone else's.

        Args:
            folders: As `domain.folders` names them.
        """

    async def memory_bytes(self) -> int | None:
        """Return how much of the host's memory the instance holds, without what the kernel could take back at once.

        None where that can't be known: it does not run, or it is someone else's.
        """

    async def close(self) -> None:
        """Let go of what this object holds in this process (connections, threads). The instance stays as it is."""


LOG_TAIL_BYTES = 64 * 1024
