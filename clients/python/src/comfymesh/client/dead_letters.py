"""Sees to tasks that have failed: finds them, requeues them, drops them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from comfymesh.client.calls import Calls, task_name
from comfymesh.client.convert import dead_letter_from_proto, group_name, task_from_proto
from comfymesh.client.errors import ComfyMeshError, InvalidRequest, Violation
from comfymesh.client.keywords import require_known
from comfymesh.client.paging import Pages
from comfymesh.client.statuses import error_of_refusal
from comfymesh.v1 import dead_letter_pb2, error_reason_pb2
from comfymesh.v1 import dead_letter_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from comfymesh.client.models import DeadLetter, Task

    Answer = pb.RequeueDeadLettersResponse | pb.DropDeadLettersResponse
    Result = pb.RequeueDeadLettersResult | pb.DropDeadLettersResult
    Chosen = dead_letter_pb2.DeadLetterFilter | None
    Ask = Callable[[Sequence[str], Chosen], Awaitable[Answer]]

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


class DeadLetterCalls(Calls):
    """The part of a client that sees to tasks that have failed."""

    async def dead_letters(
        self, *, include_resolved: bool = False, page_size: int = 0, **which: Unpack[DeadLetterOptions]
    ) -> AsyncGenerator[DeadLetter]:
        """Tasks that have failed and that nobody has seen to, the one that was created last first.

        Args:
            include_resolved: Those that were requeued or dropped as well.
            page_size: How many to fetch at a time; 0 lets the server decide.
            **which: Which ones; default: all.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = pb.ListDeadLettersRequest(
            filter=filter_to_proto(which), include_resolved=include_resolved, page_size=page_size
        )
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.letters.ListDeadLetters(request, timeout=seconds))
        )
        async for page in pages:
            for message in page.dead_letters:
                yield dead_letter_from_proto(message)

    async def dead_letter(self, task: str | Task) -> DeadLetter:
        """A task that has failed, with all the evidence: every failed attempt, traceback, log tail.

        Raises:
            NotFound: There is no task of that name.
            Conflict: It has not failed.
            ComfyMeshError: The call failed.
        """
        request = pb.GetDeadLetterRequest(name=task_name(task))
        answer = await self._ask(lambda stubs, seconds: stubs.letters.GetDeadLetter(request, timeout=seconds))
        return dead_letter_from_proto(answer.dead_letter)

    async def requeue(
        self, *tasks: str | Task, **which: Unpack[DeadLetterOptions]
    ) -> Mapping[str, Task | ComfyMeshError]:
        """Makes a new task of each dead letter. Safe to repeat: one dead letter makes one task.

        Args:
            *tasks: Dead letters: ``tasks/{task}``, its last part alone, or a task.
            **which: Which ones, where none are named.

        Returns:
            For each, by its name: the new task, or the error why there is none.

        Raises:
            InvalidRequest: Neither was given, or both.
            ComfyMeshError: A call failed as a whole.
        """

        async def ask(
            names: Sequence[str], chosen: dead_letter_pb2.DeadLetterFilter | None
        ) -> pb.RequeueDeadLettersResponse:
            request = pb.RequeueDeadLettersRequest(names=names, filter=chosen)
            return await self._ask(lambda stubs, seconds: stubs.letters.RequeueDeadLetters(request, timeout=seconds))

        return await _resolve(ask, [task_name(task) for task in tasks], which)

    async def drop(self, *tasks: str | Task, **which: Unpack[DeadLetterOptions]) -> Mapping[str, Task | ComfyMeshError]:
        """Notes of each dead letter that nothing more is to be done about it. Arguments and errors as of `requeue`.

        Returns:
            For each, by its name: the failed task, or the error why it was not dropped.
        """

        async def ask(
            names: Sequence[str], chosen: dead_letter_pb2.DeadLetterFilter | None
        ) -> pb.DropDeadLettersResponse:
            request = pb.DropDeadLettersRequest(names=names, filter=chosen)
            return await self._ask(lambda stubs, seconds: stubs.letters.DropDeadLetters(request, timeout=seconds))

        return await _resolve(ask, [task_name(task) for task in tasks], which)


def filter_to_proto(options: DeadLetterOptions) -> dead_letter_pb2.DeadLetterFilter:
    """The message for a choice.

    Raises:
        InvalidRequest: There is no such reason.
        TypeError: There is no such option: left out, it would choose all.
    """
    require_known(options, DeadLetterOptions.__annotations__)
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


async def _resolve(ask: Ask, names: Sequence[str], options: DeadLetterOptions) -> dict[str, Task | ComfyMeshError]:
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
