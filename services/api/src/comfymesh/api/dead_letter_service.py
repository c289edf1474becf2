"""comfymesh.v1.DeadLetterService."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import fields, paging
from comfymesh.api.access import caller
from comfymesh.api.dead_letters import DeadLetters, check_failed
from comfymesh.api.errors import Violation, invalid, not_found, to_refusal
from comfymesh.api.following import Following
from comfymesh.api.query import Query
from comfymesh.api.readmodel import Place
from comfymesh.bus import bulk
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.parts import attempt_failure
from comfymesh.tasks.record import Key
from comfymesh.v1 import dead_letter_pb2, dead_letter_service_pb2, dead_letter_service_pb2_grpc, task_pb2
from comfymesh.v1.task_service_pb2 import Refusal

Context = grpc.aio.ServicerContext[Any, Any]
Wish = dead_letter_service_pb2.RequeueDeadLettersRequest | dead_letter_service_pb2.DropDeadLettersRequest

MOST_NAMES = 1000


class DeadLetterService(dead_letter_service_pb2_grpc.DeadLetterServiceServicer):
    """Sees to tasks that have failed."""

    def __init__(self, log: TaskLog, letters: DeadLetters, following: Following) -> None:
        self._log = log
        self._letters = letters
        self._following = following

    async def ListDeadLetters(
        self, request: dead_letter_service_pb2.ListDeadLettersRequest, context: Context
    ) -> dead_letter_service_pb2.ListDeadLettersResponse:
        """See the proto."""
        if wrong := [*paging.violations(request.page_size), *_filter_violations(request.filter)]:
            raise invalid(wrong)
        place = None
        if request.page_token:
            created, task_id = paging.read_token(request, request.page_token, float, str)
            place = Place(float(created), str(task_id))
        query = _query(request.filter, unresolved=not request.include_resolved)
        found, end = await self._page(query, paging.size(request.page_size), place)
        token = paging.make_token(request, [end.created, end.task_id]) if end else ""
        return dead_letter_service_pb2.ListDeadLettersResponse(
            dead_letters=[_in_short(stored) for stored in found], next_page_token=token
        )

    async def GetDeadLetter(
        self, request: dead_letter_service_pb2.GetDeadLetterRequest, context: Context
    ) -> dead_letter_service_pb2.GetDeadLetterResponse:
        """See the proto."""
        stored = await self._get(request.name)
        check_failed(stored)
        return dead_letter_service_pb2.GetDeadLetterResponse(dead_letter=_letter(stored))

    async def RequeueDeadLetters(
        self, request: dead_letter_service_pb2.RequeueDeadLettersRequest, context: Context
    ) -> dead_letter_service_pb2.RequeueDeadLettersResponse:
        """See the proto."""
        wanted, more = await self._wanted(request)
        outcomes = await _each(wanted, self._get, self._letters.requeue, "RequeueDeadLetters")
        results = [
            dead_letter_service_pb2.RequeueDeadLettersResult(name=name, **outcome)
            for name, outcome in zip(wanted, outcomes, strict=True)
        ]
        return dead_letter_service_pb2.RequeueDeadLettersResponse(results=results, more=more)

    async def DropDeadLetters(
        self, request: dead_letter_service_pb2.DropDeadLettersRequest, context: Context
    ) -> dead_letter_service_pb2.DropDeadLettersResponse:
        """See the proto."""
        wanted, more = await self._wanted(request)
        outcomes = await _each(wanted, self._get, self._letters.drop, "DropDeadLetters")
        results = [
            dead_letter_service_pb2.DropDeadLettersResult(name=name, **outcome)
            for name, outcome in zip(wanted, outcomes, strict=True)
        ]
        return dead_letter_service_pb2.DropDeadLettersResponse(results=results, more=more)

    async def _wanted(self, request: Wish) -> tuple[list[str], bool]:
        """The names that are meant, and whether there are more."""
        if wrong := list(_wish_violations(request)):
            raise invalid(wrong)
        if request.names:
            return list(request.names), False
        found, end = await self._page(_query(request.filter, unresolved=True), MOST_NAMES, None)
        return [stored.task.name for stored in found], end is not None

    async def _page(self, query: Query, size: int, place: Place | None) -> tuple[list[Stored], Place | None]:
        await self._following.current(query.tenant)
        return self._following.model.page(query, size, place)

    async def _get(self, name: str) -> Stored:
        stored = await self._log.get(Key(caller.tenant(), names.parse_task(name)))
        if stored is None:
            raise not_found("task", name)
        return stored


async def _each(
    wanted: list[str],
    find: Callable[[str], Awaitable[Stored]],
    act: Callable[[Stored], Awaitable[Stored]],
    method: str,
) -> list[dict[str, Any]]:
    """What becomes of each name: a task, or a refusal."""

    async def one(name: str) -> dict[str, task_pb2.Task | Refusal]:
        try:
            return {"task": (await act(await find(name))).task}
        except Exception as error:  # what is wrong with one, a defect of ours included, must not spoil the others
            return {"refusal": to_refusal(method, error)}

    return await bulk.each(wanted, one)


def _wish_violations(request: Wish) -> Iterator[Violation]:
    if bool(request.names) == request.HasField("filter"):
        yield Violation("names", "give either names or a filter, and not both; an empty filter means all")
    if len(request.names) > MOST_NAMES:
        yield Violation("names", f"has {len(request.names)} entries; send at most {MOST_NAMES} at a time")
    for index, name in enumerate(request.names[:MOST_NAMES]):
        for violation in fields.name_violations(name, names.parse_task):
            yield Violation(f"names[{index}]", violation.description)
    yield from _filter_violations(request.filter)


def _filter_violations(chosen: dead_letter_pb2.DeadLetterFilter) -> Iterator[Violation]:
    for violation in fields.filter_violations((), chosen.labels, chosen.group):
        yield Violation(f"filter.{violation.field}", violation.description)
    yield from fields.reasons_violations("filter.reasons", chosen.reasons)


def _query(chosen: dead_letter_pb2.DeadLetterFilter, *, unresolved: bool) -> Query:
    return Query(
        caller.tenant(),
        states=(task_pb2.Task.STATE_FAILED,),
        labels=dict(chosen.labels),
        group=chosen.group,
        reasons=list(chosen.reasons),
        unresolved=unresolved,
        ended_after=seconds(chosen.failed_after) if chosen.HasField("failed_after") else None,
        ended_before=seconds(chosen.failed_before) if chosen.HasField("failed_before") else None,
    )


def _letter(stored: Stored) -> dead_letter_pb2.DeadLetter:
    failures = [attempt_failure(failure) for failure in stored.record.failures]
    return dead_letter_pb2.DeadLetter(task=stored.task, failures=failures)


def _in_short(stored: Stored) -> dead_letter_pb2.DeadLetter:
    """Without what makes a page of them large."""
    letter = _letter(stored)
    letter.task.error.ClearField("traceback")
    letter.task.error.ClearField("log_tail")
    return letter
