"""What operators and administrators did: on the bus, and as a line of the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToJson, SerializeToJsonError
from google.protobuf.message import DecodeError, Message

from comfymesh.api.access.caller import Caller
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Entry
from comfymesh.bus.streams import AUDIT
from comfymesh.names import tenant as tenant_name
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import audit_pb2

logger = logging.getLogger(__name__)

_MOST_CHARACTERS = 4096
_RESOURCE_FIELDS = ("name", "parent")


class Audit:
    """Writes and reads events.

    Args:
        bus: Where they are kept.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock

    async def note(self, caller: Caller, peer: str, method: str, request: Message, outcome: str) -> None:
        """Store what somebody did, and write it to the log.

        Raises:
            BusUnavailableError: it is not stored. It is in the log.
        """
        event = audit_pb2.AuditEvent(
            time=timestamp(self._clock()),
            actor=caller.actor,
            tenant=tenant_name(caller.tenant),
            peer=peer,
            method=method,
            resource=_resource(request),
            outcome=outcome,
            request_json=_text(request),
        )
        told = {name: getattr(event, name) for name in ("actor", "tenant", "peer", "method", "resource", "outcome")}
        logger.info("%s called %s: %s", caller.actor, method, outcome, extra={"action": "audit", **told})
        await self._bus.append([Entry(subjects.audit(caller.tenant), event.SerializeToString())])

    async def page(self, after: int, size: int) -> tuple[list[audit_pb2.AuditEvent], int]:
        """At most `size` events behind a position, oldest first, and the position of the last; 0 where none follow."""
        messages = await self._bus.after(AUDIT, subjects.ALL_AUDITS, after, size + 1)
        events = []
        for message in messages[:size]:
            try:
                events.append(audit_pb2.AuditEvent.FromString(message.data))
            except DecodeError:
                logger.warning("audit event %d can't be read", message.sequence)
        return events, messages[size - 1].sequence if len(messages) > size else 0


def _resource(request: Any) -> str:  # noqa: ANN401  # whichever message it is
    """What a request is about: what it names, or the resource in it does."""
    fields = {field.name: value for field, value in request.ListFields()}
    named = [str(fields[field]) for field in _RESOURCE_FIELDS if field in fields]
    inner = [str(name) for value in fields.values() if (name := getattr(value, "name", ""))]
    return next(iter([*named, *inner, *(str(fields[key]) for key in fields if key.endswith("_id"))]), "")[:256]


def _text(request: Message) -> str:
    try:
        return MessageToJson(request, indent=None, preserving_proto_field_name=True)[:_MOST_CHARACTERS]
    except SerializeToJsonError:
        return ""  # Times out of range, and the like, have no JSON; the call was refused for that.
