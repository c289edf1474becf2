"""Checks of what the instances need: a Docker Engine with their image, a ComfyUI folder, a server that answers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from comfymesh.agent.checks.findings import Finding, failed, ok, warning
from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.runtimes.contract import RuntimeFailed
from comfymesh.agent.runtimes.process_command import command_of
from comfymesh.agent.runtimes.specs import AttachSpec, DockerSpec, InstanceSpec, ProcessSpec

_SECONDS = 10.0


async def check_instance(spec: InstanceSpec, state_directory: Path) -> Finding:
    """Whether an instance could be started or reached. Nothing is started."""
    match spec:
        case DockerSpec():
            return await _check_docker(spec)
        case ProcessSpec():
            return await asyncio.to_thread(_check_process, spec, state_directory)
        case AttachSpec():
            return await _check_attach(spec)


async def _check_docker(spec: DockerSpec) -> Finding:
    from comfymesh.agent.runtimes.docker_client import DockerEngine  # noqa: PLC0415  # its library is large

    tried = f"look for image {spec.image} of instance {spec.name} at {spec.engine}"
    engine = DockerEngine(spec.engine)
    try:
        there = await engine.has_image(spec.image)
    except RuntimeFailed as error:
        return failed("docker", tried, error.message, _mend_engine(spec.engine))
    finally:
        await engine.close()
    if there:
        return ok("docker", tried, "it is there")
    if spec.pull:
        return warning("docker", tried, "it is not on this host", f"`docker pull {spec.image}`, or the agent pulls it")
    return failed("docker", tried, "it is not on this host, and may not be pulled", f"`docker load` {spec.image}")


def _mend_engine(address: str) -> str:
    path = Path(address.removeprefix("unix://"))
    if address.startswith("unix://") and path.exists() and not os.access(path, os.W_OK):
        return "put the agent's user into the group docker (`usermod -aG docker comfymesh`) and restart the agent"
    return "install and start a Docker Engine, or set `engine` of the instance to where it listens"


def _check_process(spec: ProcessSpec, state_directory: Path) -> Finding:
    tried = f"look for the program of instance {spec.name}"
    try:
        command = command_of(spec, base_directory=state_directory / "instances" / spec.name / "data", port=1)
    except RuntimeFailed as error:
        return failed("process", tried, error.message, "correct the instance in COMFYMESH_AGENT_INSTANCES")
    except OSError as error:
        return failed("process", tried, str(error), f"let the agent's user write to {state_directory}")
    return ok("process", tried, f"{command.words[0]} in {command.directory}")


async def _check_attach(spec: AttachSpec) -> Finding:
    url = str(spec.url).rstrip("/")
    tried = f"ask the ComfyUI of instance {spec.name} at {url}"
    try:
        async with asyncio.timeout(_SECONDS), ComfyHttp(url) as http:
            await http.system_stats()
    except (ComfyUnreachable, ComfyError, TimeoutError) as error:
        # It may well be started later, and the agent waits for it.
        return warning("attach", tried, str(error) or "no answer", "start it, or correct `url` of the instance")
    return ok("attach", tried, "it answers")
