"""The one file that knows the docker SDK.

Every call runs on a thread of its own, never on the event loop, and is short: waiting and retrying are for the caller.
A 404 is a normal answer here, and any other refusal becomes a `RuntimeFailed`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import requests.exceptions
import urllib3.exceptions
from docker import DockerClient
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest, LogConfig, Mount
from docker.utils import parse_repository_tag

from comfymesh.agent.runtimes import output_log
from comfymesh.agent.runtimes.contract import RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.runtimes.docker_plan import INSTANCE_LABEL, NODE_LABEL
from comfymesh.agent.runtimes.docker_pull import PullProgress
from comfymesh.agent.runtimes.docker_refusals import reason_of
from comfymesh.agent.runtimes.docker_state import memory_of, state_of

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from docker.models.networks import Network

    from comfymesh.agent.runtimes.docker_plan import ContainerPlan, Owner
    from comfymesh.agent.runtimes.docker_state import ContainerState

T = TypeVar("T")

CALL_SECONDS = 30
"""How long the engine may take over one call. Pulling an image is not one: it may take this long between two chunks."""

_FORBIDDEN = 403
_ENDPOINT_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.1


def remove_network(network: Network) -> None:
    """Remove a network. The engine may count a container's endpoint for a moment after the container is gone."""
    deadline = time.monotonic() + _ENDPOINT_SECONDS
    while True:
        try:
            network.remove()
        except APIError as error:
            if error.status_code != _FORBIDDEN or time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_AGAIN_SECONDS)
        else:
            return


class DockerEngine:
    """A connection to one Docker Engine, made at the first call and made anew after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: DockerClient | None = None
        # One thread: a session of the SDK's HTTP library is not meant for several at once.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="docker")

    async def inspect(self, owner: Owner) -> ContainerState | None:
        """Return the state of the owner's container; None when there is none."""

        def call(client: DockerClient) -> ContainerState | None:
            try:
                return state_of(client.containers.get(owner.name).attrs)
            except NotFound:
                return None

        return await self._call(f"look at container {owner.name}", call)

    async def instances_of(self, node: str) -> list[str]:
        """Return the names of the node's instances of which anything is there: a container, a volume or a network."""

        def call(client: DockerClient) -> list[str]:
            filters: dict[str, str | list[str] | bool] = {"label": f"{NODE_LABEL}={node}"}
            containers = [found.labels for found in client.containers.list(all=True, filters=filters)]
            others = (*client.volumes.list(filters=filters), *client.networks.list(filters=filters))
            labels = [*containers, *(found.attrs.get("Labels") or {} for found in others)]
            return sorted({found[INSTANCE_LABEL] for found in labels if INSTANCE_LABEL in found})

        return await self._call(f"look for instances of node {node}", call)

    async def has_image(self, image: str) -> bool:
        """Whether the image is on this host."""

        def call(client: DockerClient) -> bool:
            try:
                client.images.get(image)
            except NotFound:
                return False
            return True

        return await self._call(f"look for image {image}", call)

    async def pull(self, image: str, tell: Callable[[str], None]) -> None:
        """Fetch an image, which may take long: give it an engine object of its own, so that no other call waits.

        Cancelled, it ends with the engine's next word, of which there are several a second, or with its silence.

        Args:
            image: The image.
            tell: Told how far it is, in words, on the event loop.

        Raises:
            RuntimeFailed: With `IMAGE_MISSING` for whatever the engine says: the image is not to be had.
        """
        loop = asyncio.get_running_loop()

        def tell_loop(words: str) -> None:
            loop.call_soon_threadsafe(tell, words)

        given_up = threading.Event()
        try:
            await self._call(f"pull image {image}", lambda client: _pull(client, image, tell_loop, given_up))
        finally:
            given_up.set()

    async def create_network(self, owner: Owner) -> None:
        """Make the instance's own bridge network, unless it is there."""

        def call(client: DockerClient) -> None:
            if not client.networks.list(names=[owner.name], filters={"label": _filters(owner)}):
                client.networks.create(owner.name, driver="bridge", check_duplicate=True, labels=owner.labels)

        await self._call(f"make network {owner.name}", call)

    async def create_volume(self, owner: Owner) -> None:
        """Make the instance's own volume, unless it is there."""
        await self._call(
            f"make volume {owner.name}",
            lambda client: client.volumes.create(owner.name, labels=owner.labels),
        )

    async def create_container(self, plan: ContainerPlan) -> None:
        """Make the container; it does not run yet."""
        await self._call(f"make container {plan.owner.name}", lambda client: _create(client, plan))

    async def start(self, owner: Owner) -> None:
        """Run the owner's container."""
        await self._call(f"start container {owner.name}", lambda client: client.containers.get(owner.name).start())

    async def send_signal(self, owner: Owner, number: signal.Signals) -> None:
        """Signal the first process of the container; one that has ended, or is gone, is left in peace."""

        def call(client: DockerClient) -> None:
            try:
                client.containers.get(owner.name).kill(number.name)
            except APIError as error:
                if error.status_code not in {404, 409}:  # 409: it does not run
                    raise

        await self._call(f"signal container {owner.name}", call)

    async def remove_container(self, owner: Owner) -> None:
        """Remove the container, killing it when it runs; its named volume stays. Gone already is a success."""

        def call(client: DockerClient) -> None:
            try:
                client.containers.get(owner.name).remove(force=True, v=True)
            except APIError as error:
                if error.status_code not in {404, 409}:  # 409: its removal is under way
                    raise

        await self._call(f"remove container {owner.name}", call)

    async def remove_belongings(self, owner: Owner) -> None:
        """Remove the volume and the network of a container that is gone."""

        def call(client: DockerClient) -> None:
            for volume in client.volumes.list(filters={"label": _filters(owner)}):
                volume.remove()
            for network in client.networks.list(filters={"label": _filters(owner)}):
                remove_network(network)

        await self._call(f"remove volume and network {owner.name}", call)

    async def log_tail(self, owner: Owner, lines: int) -> str:
        """Return the last lines of the container's output; empty when there is no container."""

        def call(client: DockerClient) -> str:
            try:
                output: bytes = client.containers.get(owner.name).logs(tail=lines)
            except NotFound:
                return ""
            return output_log.last_lines(output, lines)

        return await self._call(f"read the log of container {owner.name}", call)

    async def run(self, owner: Owner, command: Sequence[str]) -> None:
        """Run a command in the owner's container, to its end; one that fails, or is not there, is left at that."""

        def call(client: DockerClient) -> None:
            try:
                client.containers.get(owner.name).exec_run(list(command))
            except APIError as error:
                if error.status_code not in {404, 409}:  # 409: it does not run
                    raise

        await self._call(f"run {command[0]} in container {owner.name}", call)

    async def memory_bytes(self, owner: Owner) -> int | None:
        """Return the memory of the owner's container; None when it does not run."""

        def call(client: DockerClient) -> int | None:
            try:
                stats = client.api.stats(owner.name, stream=False, one_shot=True)
            except NotFound:
                return None
            return memory_of(stats.get("memory_stats") or {})

        return await self._call(f"measure container {owner.name}", call)

    async def close(self) -> None:
        """Close the connection and end the thread; a call under way is waited for."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    async def _call(self, attempt: str, call: Callable[[DockerClient], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, attempt, call)

    def _answer(self, attempt: str, call: Callable[[DockerClient], T]) -> T:
        """Run one call; say what was attempted when it fails."""
        try:
            return call(self._connected())
        except APIError as error:
            refusal = str(error.explanation or error)
            raise RuntimeFailed(reason_of(refusal), f"cannot {attempt}: {refusal}") from error
        except requests.exceptions.ReadTimeout as error:
            raise RuntimeFailed(
                RuntimeFailureReason.ENGINE_TIMEOUT,
                f"cannot {attempt}: the Docker Engine at {self._url} did not answer within {CALL_SECONDS} s; "
                f"look at its log",
            ) from error
        except (DockerException, OSError, urllib3.exceptions.HTTPError) as error:
            # Among the OSErrors are those of requests; those of urllib3 come through when an answer breaks off.
            self._disconnect()
            raise RuntimeFailed(
                RuntimeFailureReason.ENGINE_UNREACHABLE,
                f"cannot {attempt}: no Docker Engine answers at {self._url}; "
                f"start it, and check that this user may use it ({error})",
            ) from error

    def _connected(self) -> DockerClient:
        _knock(self._url)  # Each time: the engine may have gone since the last call.
        if self._client is None:
            self._client = DockerClient(base_url=self._url, timeout=CALL_SECONDS)
        return self._client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _knock(url: str) -> None:
    """Fail where nobody listens: the SDK would leave its socket open, and hide the cause in prose."""
    scheme, _, path = url.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(CALL_SECONDS)
            door.connect(path)


def _filters(owner: Owner) -> list[str]:
    return [f"{label}={value}" for label, value in owner.labels.items()]


def _pull(client: DockerClient, image: str, tell: Callable[[str], None], given_up: threading.Event) -> None:
    progress = PullProgress()
    repository, tag = parse_repository_tag(image)
    try:
        for line in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if given_up.is_set():
                return  # The engine gives it up too: nobody listens any more.
            if words := progress.feed(line):
                tell(words)
    except APIError as error:
        raise _not_to_be_had(image, str(error.explanation or error)) from error
    if progress.error:
        raise _not_to_be_had(image, progress.error)


def _not_to_be_had(image: str, why: str) -> RuntimeFailed:
    reason = reason_of(why)
    return RuntimeFailed(
        reason if reason is RuntimeFailureReason.DISK_FULL else RuntimeFailureReason.IMAGE_MISSING,
        f"image {image} is not on this host and cannot be pulled: {why}; check its name, or load it with `docker load`",
    )


def _create(client: DockerClient, plan: ContainerPlan) -> None:
    client.containers.create(
        plan.image,
        list(plan.command),
        entrypoint=list(plan.entrypoint) or None,
        name=plan.owner.name,
        labels=plan.labels,
        environment=plan.environment,
        user=plan.user,
        device_requests=_devices(plan),
        mem_limit=plan.memory_bytes,
        memswap_limit=plan.memory_bytes,  # equal to the memory limit: a GPU host that swaps is a stalled one
        nano_cpus=None if plan.cpus is None else round(plan.cpus * 1e9),
        shm_size=plan.shm_bytes,
        mounts=_mounts(plan),
        ports={f"{plan.container_port}/tcp": ("127.0.0.1", plan.host_port)},
        network=plan.owner.name,
        # ComfyUI has no handler for SIGTERM, which a first process without one does not even receive.
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        log_config=LogConfig(type=LogConfig.types.JSON, config={"max-size": "10m", "max-file": "3"}),
    )


def _devices(plan: ContainerPlan) -> list[DeviceRequest] | None:
    if plan.gpu_uuid is None:
        return None
    return [DeviceRequest(device_ids=[plan.gpu_uuid], capabilities=[["gpu"]])]


def _mounts(plan: ContainerPlan) -> list[Mount]:
    mounts = [Mount(plan.data_path, plan.owner.name, type="volume")]
    if plan.models is not None:
        host_path, container_path = plan.models
        mounts.append(Mount(container_path, host_path, type="bind", read_only=True))
    return mounts
