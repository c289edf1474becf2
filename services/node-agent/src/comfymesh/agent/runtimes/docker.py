"""The docker runtime: a ComfyUI in a container that outlives the agent and is adopted by the next one."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

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
from comfymesh.agent.runtimes.docker_client import DockerEngine
from comfymesh.agent.runtimes.docker_plan import SPEC_LABEL, Owner, plan
from comfymesh.agent.runtimes.mounts import refusal
from comfymesh.agent.runtimes.sweeping import KINDS, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from comfymesh.agent.runtimes.docker_state import ContainerState
    from comfymesh.agent.runtimes.specs import DockerSpec

logger = logging.getLogger(__name__)

REPLACE_GRACE = timedelta(seconds=10)
"""How long a container that can't be adopted is given to end."""

LOOK_SECONDS = 0.1
"""How often a container that was asked to end is looked at."""


class DockerRuntime:
    """One container, found again by its name, which follows from node and instance alone."""

    sees_process = True

    def __init__(self, spec: DockerSpec, *, node: str, mount_roots: Sequence[PurePosixPath] = ()) -> None:
        self._spec = spec
        self._mount_roots = mount_roots
        self._owner = Owner(node, spec.name)
        self._plan = plan(spec, self._owner)
        self._engine = DockerEngine(spec.engine)

    async def start(self, tell: Callable[[str], None] = silently) -> Endpoint:
        """Adopt the container of this name when it runs and its port is known; otherwise make it anew."""
        state = await self._own_container()
        if state is not None:
            if state.running and state.ports:
                logger.info("Adopted a running container.", extra=self._extra())
                return _endpoint(state)
            logger.info("Replacing a container.", extra=self._extra() | {"status": state.status})
            await self._end(REPLACE_GRACE)
            await self._engine.remove_container(self._owner)
        return await self._create(tell)

    async def stop(self, grace: timedelta) -> None:
        """End and remove the container with its volume and its network."""
        if await self._own_container() is not None:
            await self._end(grace)
            await self._engine.remove_container(self._owner)
            logger.info("Stopped a container.", extra=self._extra())
        await self._engine.remove_belongings(self._owner)

    async def poll(self) -> Status:
        """Ask the engine; raises `RuntimeFailed` when it does not answer, for then nobody knows."""
        state = await self._own_container()
        if state is None:
            return Absent()
        return Running() if state.running else _exited(state)

    async def log_tail(self, lines: int) -> str:
        """Return the end of the container's output."""
        return await self._engine.log_tail(self._owner, lines)

    async def remove_folders(self, folders: Sequence[str]) -> None:
        """Remove them inside of the container, as its user: its volume may be anywhere."""
        roots = [self._spec.data_path / kind for kind in KINDS]
        paths = [str(root / folder) for root in roots for folder in plain(folders)]
        if paths:
            await self._engine.run(self._owner, ["rm", "-rf", "--", *paths])

    async def memory_bytes(self) -> int | None:
        """Return what the engine accounts to the container, without the page cache that could be dropped."""
        return await self._engine.memory_bytes(self._owner)

    async def close(self) -> None:
        """Close the connection to the engine."""
        await self._engine.close()

    async def _create(self, tell: Callable[[str], None]) -> Endpoint:
        await asyncio.to_thread(self._check_mounts)
        await self._ensure_image(tell)
        await self._engine.create_network(self._owner)
        await self._engine.create_volume(self._owner)
        await self._engine.create_container(self._plan)
        try:
            await self._engine.start(self._owner)
        except RuntimeFailed:
            await self._engine.remove_container(self._owner)
            raise
        state = await self._own_container()
        if state is None or not state.running:
            raise await self._ended_at_start(state)
        logger.info("Started a container.", extra=self._extra())
        return _endpoint(state)

    def _check_mounts(self) -> None:
        """Raise where the folder of the models may not be seen by a container, wherever links in it lead."""
        models = self._spec.models_directory
        why = "" if models is None else refusal(PurePosixPath(models.resolve()), self._mount_roots)
        if why:
            message = f"cannot mount {models} into instance {self._spec.name}: {why}"
            raise RuntimeFailed(RuntimeFailureReason.MOUNT_REFUSED, message)

    async def _ensure_image(self, tell: Callable[[str], None]) -> None:
        image = self._spec.image
        if await self._engine.has_image(image):
            return
        if not self._spec.pull:
            raise RuntimeFailed(
                RuntimeFailureReason.IMAGE_MISSING,
                f"image {image} is not on this host, and pulling is switched off; load it, or set `pull`",
            )
        logger.info("Pulling an image.", extra=self._extra())
        # A second connection: on the first one every poll would wait until the image is here.
        puller = DockerEngine(self._spec.engine)
        try:
            await puller.pull(image, lambda words: tell(f"pulling {image}: {words}"))
        finally:
            await puller.close()

    async def _end(self, grace: timedelta) -> None:
        """Ask with SIGINT, on which ComfyUI cleans up (ComfyUI protocol notes, section 12), then with SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            await self._engine.send_signal(self._owner, number)
            if await self._ended_within(grace / 2):
                return
        # Whatever still runs is killed by its removal.

    async def _ended_within(self, wait: timedelta) -> bool:
        deadline = asyncio.get_running_loop().time() + wait.total_seconds()
        while True:
            state = await self._engine.inspect(self._owner)
            if state is None or not state.running:
                return True
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    async def _own_container(self) -> ContainerState | None:
        state = await self._engine.inspect(self._owner)
        if state is not None and not self._owner.owns(state.labels):
            raise RuntimeFailed(
                RuntimeFailureReason.NAME_TAKEN,
                f"container {self._owner.name} exists, but its labels do not say that it is instance "
                f"{self._owner.instance} of node {self._owner.node}; remove it, or rename the instance",
            )
        return state

    async def _ended_at_start(self, state: ContainerState | None) -> RuntimeFailed:
        how = "it was removed" if state is None else _exited(state).reason
        output = (await self.log_tail(5)).strip()
        return RuntimeFailed(
            RuntimeFailureReason.ENDED_AT_START,
            f"container {self._owner.name} ended as soon as it was started: {how}. It said: {output or 'nothing'}",
        )

    def _extra(self) -> dict[str, object]:
        return {"instance": self._owner.instance, "container": self._owner.name, "image": self._spec.image}


def _endpoint(state: ContainerState) -> Endpoint:
    """Where a container is reached: it publishes one port. Which of its own that is, other settings may have said."""
    (port, *_) = state.ports.values()
    return Endpoint(f"http://127.0.0.1:{port}", state.labels.get(SPEC_LABEL, ""))


def _exited(state: ContainerState) -> Exited:
    if state.out_of_memory:
        return Exited(state.exit_code, "killed at its memory limit")
    if state.status in {"created", "paused"}:
        return Exited(None, state.error or f"the container is {state.status}, not running")
    return Exited(state.exit_code, state.error or f"ended with code {state.exit_code}")
