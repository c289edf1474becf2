"""Whose call it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from comfymesh.api.access.scopes import Scope

DEFAULT_TENANT = "default"
"""The tenant that is always there. Owner of everything where callers are not authenticated."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls.

    Attributes:
        tenant: Whose resources there are for them.
        actor: Who it is, for the audit log: a key's name, `tokens/{subject}`, `bootstrap` or `anonymous`.
        scopes: What they may do.
    """

    tenant: str
    actor: str
    scopes: frozenset[Scope]


_current: ContextVar[Caller] = ContextVar("caller")


def current() -> Caller:
    """Whose call this is. Outside of a call there is nobody, and LookupError is raised."""
    return _current.get()


def tenant() -> str:
    """The tenant whose call this is."""
    return _current.get().tenant


def enter(caller: Caller) -> None:
    """From now on, what runs in this context runs for `caller`. Each call has a context of its own."""
    _current.set(caller)


@contextmanager
def acting(caller: Caller) -> Iterator[None]:
    """What runs inside runs for `caller`."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)
