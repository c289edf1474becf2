"""Makes the streams that are missing, and brings the others up to date."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comfymesh.bus.api import OFF, STREAM_NAME_IN_USE, Api, ApiError, NobodyAnswersError
from comfymesh.bus.server import BusUnusableError, Server, jetstream_off
from comfymesh.bus.streams import Stream


class StreamMismatchError(BusUnusableError):
    """A stream can't be made, or exists with a configuration that ours can't, or must not, replace."""

    def __init__(self, stream: Stream, problem: str) -> None:
        super().__init__(
            "STREAM_MISMATCH",
            f"stream {stream.name} can't be made as it is needed: {problem}. Compare COMFYMESH_NATS_REPLICAS and the"
            f" retention settings with the server and with the other services, or see `nats stream info {stream.name}`;"
            " what it holds has not been touched",
        )


async def provide(api: Api, streams: Iterable[Stream], replicas: int, server: Server) -> None:
    """Make sure of every stream. Doing so again changes nothing.

    Raises:
        BusUnusableError: a stream differs from what is needed, or there is no JetStream.
        BusUnavailableError: the server is not ready; trying again may help.
    """
    try:
        for stream in streams:
            await _provide_one(api, stream, replicas)
    except NobodyAnswersError:
        # In a cluster, or behind a leaf node, other servers may be the ones that keep streams.
        if server.jetstream or server.cluster:
            raise
        raise jetstream_off(server) from None
    except ApiError as error:
        if error.code in OFF:
            raise jetstream_off(server) from error
        raise


async def _provide_one(api: Api, stream: Stream, replicas: int) -> None:
    configuration = _configuration(stream, replicas)
    try:
        await api.call(f"STREAM.CREATE.{stream.name}", configuration)
    except ApiError as error:
        if error.code in OFF:
            raise
        if error.code != STREAM_NAME_IN_USE:
            raise StreamMismatchError(stream, str(error)) from error
        await _update(api, stream, configuration)


async def _update(api: Api, stream: Stream, configuration: dict[str, Any]) -> None:
    wanted = configuration["num_replicas"]
    there = (await api.call(f"STREAM.INFO.{stream.name}", {}))["config"]["num_replicas"]
    if there > wanted:
        # One service that lacks the setting must not take the copies away from all.
        raise StreamMismatchError(stream, f"it has {there} copies, and this service is set to {wanted}")
    try:
        await api.call(f"STREAM.UPDATE.{stream.name}", configuration)
    except ApiError as error:
        raise StreamMismatchError(stream, str(error)) from error


def _configuration(stream: Stream, replicas: int) -> dict[str, Any]:
    return {
        "name": stream.name,
        "subjects": list(stream.subjects),
        "storage": stream.storage.value,
        "retention": "workqueue" if stream.work_queue else "limits",
        "max_msgs_per_subject": stream.per_subject,
        "max_age": int(stream.max_age.total_seconds() * 1e9) if stream.max_age else 0,
        "num_replicas": replicas,
        "discard": "old",
        "allow_direct": True,
        "allow_msg_ttl": stream.expiring,
    }
