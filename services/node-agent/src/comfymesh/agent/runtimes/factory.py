"""From a spec to its runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from comfymesh.agent.runtimes.attach import AttachRuntime
from comfymesh.agent.runtimes.process import ProcessRuntime
from comfymesh.agent.runtimes.specs import AttachSpec, DockerSpec, ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path, PurePosixPath

    from comfymesh.agent.runtimes.contract import Runtime


def build(
    spec: AttachSpec | ProcessSpec | DockerSpec,
    *,
    node: str,
    state_directory: Path,
    mount_roots: Sequence[PurePosixPath] = (),
) -> Runtime:
    """Make the runtime of one instance. Nothing is started, opened or contacted.

    Args:
        spec: What the operator set.
        node: Name of this node, part of names and labels.
        state_directory: Where the agent keeps what must outlive it. Processes have their folders below it.
        mount_roots: Folders of the host below which mounts are allowed; none: everywhere but in those of the system.
    """
    match spec:
        case AttachSpec():
            return AttachRuntime(spec)
        case ProcessSpec():
            return ProcessRuntime(spec, node=node, state_directory=state_directory)
        case DockerSpec():
            from comfymesh.agent.runtimes.docker import DockerRuntime  # noqa: PLC0415  # its library is large

            return DockerRuntime(spec, node=node, mount_roots=mount_roots)
        case _:
            assert_never(spec)
