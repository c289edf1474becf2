"""What a call was refused with, taken apart."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from comfymesh.client.answers import Answer

T = TypeVar("T")

_KEY = "grpc-status-details-bin"
_PACKAGE = "google.rpc."


@dataclass(frozen=True)
class Refusal:
    """A status that is not OK.

    Attributes:
        code: Its code.
        message: Its message.
        reason: Of its ErrorInfo.
        metadata: Of its ErrorInfo.
        details: Its other details by the name of their kind, such as BadRequest.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    details: dict[str, Message] = field(default_factory=dict)

    @property
    def is_(self) -> tuple[str, str]:
        """Code and reason, which is what most tests look at."""
        return self.code.name, self.reason

    @property
    def violations(self) -> dict[str, str]:
        """Every wrong field, with what is said of it."""
        found = self.details.get("BadRequest")
        assert isinstance(found, error_details_pb2.BadRequest), f"no BadRequest in {self}"
        return {violation.field: violation.description for violation in found.field_violations}

    @property
    def retry_seconds(self) -> float:
        """When to try again."""
        found = self.details["RetryInfo"]
        assert isinstance(found, error_details_pb2.RetryInfo)
        return float(found.retry_delay.ToMilliseconds()) / 1000


def answer_to(call: Awaitable[T]) -> Awaitable[T]:
    """What a call is answered, also where a stream of requests is refused while it is sent."""
    return Answer(call) if isinstance(call, grpc.aio.StreamUnaryCall) else call


async def refused(call: Awaitable[object]) -> Refusal:
    """The refusal that a call must end with."""
    try:
        answer = await answer_to(call)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    raise AssertionError(f"the call was answered: {answer}")


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Take a status apart. Every refusal of ours has an ErrorInfo of our domain."""
    # The stubs of grpc type one pair as the whole metadata.
    trailing = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
    raw = dict(trailing).get(_KEY)
    assert raw is not None, f"no details in {error}"
    status = status_pb2.Status.FromString(raw)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return of_status(status)


def of_status(status: status_pb2.Status) -> Refusal:
    """Take a google.rpc.Status apart."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    details: dict[str, Message] = {}
    for packed in status.details:
        kind = packed.TypeName().removeprefix(_PACKAGE)
        detail: Message = getattr(error_details_pb2, kind)()
        assert packed.Unpack(detail)
        details[kind] = detail
    info = details.pop("ErrorInfo")
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.domain == "comfymesh"
    return Refusal(code, status.message, info.reason, dict(info.metadata), details)
