"""Ends instances that an earlier agent of this node left, and that no setting names any more."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes.contract import RuntimeFailed
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.process import ProcessRuntime
from comfymesh.agent.runtimes.specs import DockerSpec, ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from comfymesh.agent.runtimes.contract import Runtime
    from comfymesh.agent.runtimes.specs import InstanceSpec

logger = logging.getLogger(__name__)

_GRACE = timedelta(seconds=10)


async def end_orphans(specs: Sequence[InstanceSpec], *, node: str, state_directory: Path) -> list[str]:
    """End what is no instance of these settings, and remove what belonged to it.

    Engines that no setting names any more are not asked: nobody knows where they are.

    Returns:
        The names of what was ended.
    """
    engines = {spec.engine for spec in specs if isinstance(spec, DockerSpec)}
    names = {kind: {spec.name for spec in specs if spec.runtime == kind} for kind in ("docker", "process")}
    ended = []
    for engine in sorted(engines):
        for name in await _in_engine(engine, node, names["docker"]):
            spec = DockerSpec(name=name, image="none", engine=engine)
            ended += await _end(name, build(spec, node=node, state_directory=state_directory))
    for name in await asyncio.to_thread(_with_record, state_directory, names["process"]):
        spec_of = ProcessSpec(name=name, command=("none",))
        ended += await _end(name, ProcessRuntime(spec_of, node=node, state_directory=state_directory))
    return ended


async def _in_engine(url: str, node: str, known: Iterable[str]) -> list[str]:
    from comfymesh.agent.runtimes.docker_client import DockerEngine  # noqa: PLC0415  # its library is large

    engine = DockerEngine(url)
    try:
        return sorted(set(await engine.instances_of(node)) - set(known))
    except RuntimeFailed as error:
        logger.info("orphans can't be looked for: %s", error)
        return []
    finally:
        await engine.close()


def _with_record(state_directory: Path, known: Iterable[str]) -> list[str]:
    records = state_directory.glob("instances/*/process.json")
    return sorted({record.parent.name for record in records} - set(known))


async def _end(name: str, runtime: Runtime) -> list[str]:
    try:
        await runtime.stop(_GRACE)
    except RuntimeFailed as error:
        logger.warning("orphaned instance %s can't be ended: %s", name, error, extra={"action": "orphan_stays"})
        return []
    finally:
        await runtime.close()
    logger.info("ended orphaned instance %s", name, extra={"action": "orphan_ended", "instance": name})
    return [name]
