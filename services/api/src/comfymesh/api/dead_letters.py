"""Sees to tasks that have failed: requeues or drops them, once, whoever asks at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comfymesh import names
from comfymesh.api.access import allowance
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.cancelling import cancel
from comfymesh.api.errors import RefusedError, not_found
from comfymesh.bus.tasklog import SpecMissingError, StaleRecordError, Stored, TaskLog
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.tasks.dead_letters import successor, successor_key
from comfymesh.tasks.events import Resolved
from comfymesh.tasks.record import Resolution, State
from comfymesh.telemetry import tracing


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Resolves dead letters.

    Attributes:
        log: Where they are.
        clock: Answers seconds since the epoch.
        directory: What each tenant may use.
        quotas: How many tasks it may have.
    """

    log: TaskLog
    clock: Callable[[], float]
    directory: Directory
    quotas: Quotas

    async def requeue(self, stored: Stored) -> Stored:
        """The task that was made of a dead letter, now or before.

        The task is made first, and then noted with the dead letter: what was cut short between is completed by whoever
        asks again.

        Raises:
            RefusedError: it has not failed, or was dropped; or the tenant may not have it now.
        """
        check_failed(stored)
        match stored.record.resolution:
            case Resolution.REQUEUED:
                return await self._made_before(stored)
            case Resolution.DROPPED:
                raise _resolved(stored)
        new = await self._make(stored)
        reached(FaultPoint.LETTER_COPIED)
        noted = await self._note(stored, Resolved(Resolution.REQUEUED, new.key.task_id))
        if noted is not None and noted.record.resolution is Resolution.DROPPED:
            await cancel(self.log, new, f"{_name(stored)} was dropped while it was requeued")
            raise _resolved(noted)
        return new

    async def drop(self, stored: Stored) -> Stored:
        """The dead letter, dropped now or before.

        Raises:
            RefusedError: it has not failed, or was requeued.
        """
        check_failed(stored)
        record = stored.record
        noted: Stored | None = stored
        if record.is_dead_letter and await self._successor(stored) is not None:
            # Somebody was cut short who requeued it.
            noted = await self._note(stored, Resolved(Resolution.REQUEUED, successor_key(stored.key).task_id))
        elif record.is_dead_letter:
            noted = await self._note(stored, Resolved(Resolution.DROPPED))
        if noted is None:
            raise not_found("task", _name(stored))
        if noted.record.resolution is Resolution.REQUEUED:
            raise _resolved(noted)
        return noted

    async def _make(self, stored: Stored) -> Stored:
        new = successor(stored.record, self.clock(), tracing.current())
        if (tenant := self.directory.tenant(stored.key.tenant)) is not None:
            allowance.check_again(tenant.allowance, stored.record.definition.requirements)
        try:
            spec = await self.log.spec(stored.record)
            async with self.quotas.task(stored.key.tenant) as counted:
                made = await self.log.create(new, spec)
                counted(made.sequence)
        except SpecMissingError as error:
            raise not_found("task", _name(stored)) from error
        except StaleRecordError as error:
            if error.last is not None and _is_made_of(error.last, stored):
                return error.last
            name = names.task(new.key.task_id)
            message = f"{_name(stored)} would be requeued as {name}, and somebody has given that name to another task"
            raise RefusedError("TASK_ALREADY_EXISTS", message, {"task": name}) from error
        return made

    async def _note(self, stored: Stored, event: Resolved) -> Stored | None:
        """The dead letter as it was resolved, by this event or another; None where it has left the log meanwhile."""
        try:
            noted = await self.log.change(stored, event, self.clock())
        except StaleRecordError as error:
            return error.last
        reached(FaultPoint.LETTER_RESOLVED)
        return noted

    async def _made_before(self, stored: Stored) -> Stored:
        new = await self._successor(stored)
        if new is None:
            raise not_found("task", names.task(stored.record.requeued_as))
        return new

    async def _successor(self, stored: Stored) -> Stored | None:
        new = await self.log.get(successor_key(stored.key))
        return new if new is not None and _is_made_of(new, stored) else None


def check_failed(stored: Stored) -> None:
    """Whether a task is a dead letter at all.

    Raises:
        RefusedError: it has not failed.
    """
    state = stored.record.state
    if state is not State.FAILED:
        name = _name(stored)
        message = f"{name} is no dead letter: it is {state}, and only tasks that have FAILED are"
        raise RefusedError("TASK_NOT_FAILED", message, {"task": name, "state": state.value}, resource=name)


def _resolved(stored: Stored) -> RefusedError:
    name, record = _name(stored), stored.record
    metadata = {"task": name, "resolution": str(record.resolution)}
    if record.resolution is Resolution.DROPPED:
        message = f"{name} was dropped; to run it all the same, create the task anew"
    else:
        metadata["requeued_as"] = names.task(record.requeued_as)
        message = f"{name} was requeued as {metadata['requeued_as']}; look there"
    return RefusedError("DEAD_LETTER_RESOLVED", message, metadata, resource=name)


def _is_made_of(new: Stored, stored: Stored) -> bool:
    return new.record.definition.requeued_from == stored.key.task_id


def _name(stored: Stored) -> str:
    return names.task(stored.key.task_id)
