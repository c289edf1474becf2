"""Sees to tasks that have failed: finds them, requeues them, drops them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from comfymesh.client.convert import dead_letter_from_proto, group_name, task_from_proto
from comfymesh.client.errors import ComfyMeshError, InvalidRequest, Violation
from comfymesh.client.statuses import error_of_refusal
from comfymesh.v1 import dead_letter_pb2, error_reason_pb2
from comfymesh.v1 import dead_letter_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from comfymesh.client.models import DeadLetter, Task

    Answer = pb.RequeueDeadLettersResponse | pb.DropDeadLettersResponse
    Result = pb.RequeueDeadLettersResult | pb.DropDeadLettersResult
    Ask = Callable[[Sequence[str], dead_letter_pb2.DeadLetterFilter | None], Awaitable[Answer]]
    Fetch = Callable[[pb.ListDeadLettersRequest], Awaitable[pb.ListDeadLettersResponse]]

MOST_NAMES = 1000
"""Names that one call takes (comfymesh.v1.RequeueDeadLettersRequest)."""


class DeadLetterOptions(TypedDict, total=False):
    """Chooses dead letters; what is left out chooses all.

    Attributes:
        reasons: Only those that failed for one of these reasons, such as ``OUT_OF_MEMORY``.
        labels: Only those that carry all these labels.
        group: Only those of this group: ``groups/{group}``, or its last part alone.
        failed_after: Only those that failed at or after this time.
        failed_before: Only those that failed before this time.
    """

    reasons: Sequence[str]
    labels: Mapping[str, str]
    group: str
    failed_after: datetime
    failed_before: datetime


def filter_to_proto(options: DeadLetterOptions) -> dead_letter_pb2.DeadLetterFilter:
    """The message for a choice.

    Raises:
        InvalidRequest: There is no such reason.
    """
    chosen = dead_letter_pb2.DeadLetterFilter(
        reasons=[_reason(reason) for reason in options.get("reasons", ())],
        labels=options.get("labels", {}),
        group=group_name(options.get("group", "")),
    )
    if (after := options.get("failed_after")) is not None:
        chosen.failed_after.FromDatetime(after)
    if (before := options.get("failed_before")) is not None:
        chosen.failed_before.FromDatetime(before)
    return chosen


async def every(fetch: Fetch, request: pb.ListDeadLettersRequest) -> AsyncGenerator[DeadLetter]:
    """All that a request asks for; pages are fetched as they are needed."""
    while True:
        answer = await fetch(request)
        for message in answer.dead_letters:
            yield dead_letter_from_proto(message)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


async def resolve(ask: Ask, names: Sequence[str], options: DeadLetterOptions) -> dict[str, Task | ComfyMeshError]:
    """What becomes of each dead letter, by its name.

    Args:
        ask: Makes one call, for names or for all that match.
        names: Which ones.
        options: Which ones, where no names are given.

    Raises:
        InvalidRequest: Neither names nor options are given, or both.
        ComfyMeshError: A call failed as a whole. Repeating it is safe.
    """
    if bool(names) == bool(options):
        text = "Give the names of dead letters, or say by reason, label, group or time which ones are meant; not both."
        raise InvalidRequest(text, reason="INPUT_INVALID", violations=[Violation("names", text)])
    if not names:
        return await _matching(ask, filter_to_proto(options))
    found: dict[str, Task | ComfyMeshError] = {}
    for part in _parts(names):
        found |= _outcomes(await ask(part, None))
    return found


async def _matching(ask: Ask, chosen: dead_letter_pb2.DeadLetterFilter) -> dict[str, Task | ComfyMeshError]:
    found: dict[str, Task | ComfyMeshError] = {}
    while True:
        answer = await ask((), chosen)
        now = _outcomes(answer)
        found |= now
        # What is refused matches again; without any progress there is nothing left to wait for.
        if not answer.more or all(isinstance(outcome, ComfyMeshError) for outcome in now.values()):
            return found


def _outcomes(answer: Answer) -> dict[str, Task | ComfyMeshError]:
    return {result.name: _outcome(result) for result in answer.results}


def _outcome(result: Result) -> Task | ComfyMeshError:
    if result.HasField("task"):
        return task_from_proto(result.task)
    return error_of_refusal(result.refusal.SerializeToString())


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), MOST_NAMES):
        yield names[first : first + MOST_NAMES]


def _reason(reason: str) -> str:
    name = f"ERROR_REASON_{reason.upper()}"
    if name in error_reason_pb2.ErrorReason.keys():  # noqa: SIM118  # an enum of protobuf is not iterable
        return name
    text = f"{reason!r} is not a reason for which tasks fail, such as OUT_OF_MEMORY"
    raise InvalidRequest(f"{text}.", reason="INPUT_INVALID", violations=[Violation("filter.reasons", text)])
