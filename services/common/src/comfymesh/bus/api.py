"""Calls of the JetStream API, and what its refusals mean."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection
from comfymesh.bus.expiry import expire
from comfymesh.bus.port import BusError, BusUnavailableError

Call: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Calls a method of the JetStream API: Api.call."""

NO_MESSAGE = 10037
NO_STREAM = 10059
STREAM_NAME_IN_USE = 10058
OFF = frozenset({10039, 10076})
"""JetStream is not enabled for the account, or not at all."""

# The server gives these the code of a failure of its own, but trying again can't help: a configuration that it can't
# keep, and replicas asked of a server that is in no cluster.
_OURS = frozenset({10052, 10074})
# And this one the code of a mistake of ours, while servers of a cluster are still missing: no peers for the replicas.
_PASSING = frozenset({10005})


class ApiError(BusError):
    """JetStream refused a call. `code` is its own number for the reason."""

    def __init__(self, method: str, description: str, code: int) -> None:
        self.code = code
        super().__init__(f"JetStream refused {method}: {description} ({code})")


class NobodyAnswersError(BusUnavailableError):
    """No server takes requests to the subject at present."""


class Api:
    """The JetStream API over one connection.

    Args:
        connection: An open connection.
        timeout: How long to wait for an answer, in seconds.
    """

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    async def call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call a method, such as `STREAM.CREATE.TASKS`, and answer its response.

        Raises:
            BusUnavailableError: no answer, or the server is not ready.
            ApiError: the server refused.
        """
        delivery = await self.request(f"$JS.API.{method}", json.dumps(body).encode())
        answer: dict[str, Any] = json.loads(delivery.data)
        if (error := answer.get("error")) is not None:
            raise _refusal(method, error)
        return answer

    async def request(self, subject: str, data: bytes) -> Delivery:
        """Send a request and answer what the server says to it.

        Raises:
            BusUnavailableError: no answer.
        """
        future = await self._connection.send(subject, data)
        timer = expire((future,), self._timeout)
        try:
            delivery = await future
        except TimeoutError:
            raise BusUnavailableError(f"NATS did not answer {subject} within {self._timeout:g} s") from None
        finally:
            timer.cancel()
        if delivery.status == 503:
            raise NobodyAnswersError(f"nobody answers {subject}: is JetStream on?")
        return delivery


def _refusal(method: str, error: dict[str, Any]) -> BusError:
    refused = ApiError(method, error.get("description", ""), error.get("err_code", 0))
    ours = error.get("code", 500) < 500 or refused.code in _OURS | OFF
    return refused if ours and refused.code not in _PASSING else BusUnavailableError(str(refused))
