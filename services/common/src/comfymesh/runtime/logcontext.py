"""What every line of the log says of where it comes from: the task, the tenant, the node, whatever is under way there.

It hangs on the context of the coroutine, so tasks that are started from there say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from comfymesh.runtime import redaction
from comfymesh.runtime.redaction import Private

Source = Callable[[], Iterable[str]]
"""Answers texts that belong to a caller. Asked once, and only when a line is written."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is under way.

    Attributes:
        fields: Names it in every line.
        private: Texts of callers that may show up in messages: prompts. Shared by all that is started from here.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    private: list[Callable[[], Private]] = field(default_factory=list)


_SCOPE: ContextVar[Scope] = ContextVar("log_scope", default=Scope())  # noqa: B039  # nobody adds to the first one


def bind(**fields: object) -> None:
    """From now on, whatever is logged from here says this too. What is private is that of this scope alone."""
    _SCOPE.set(Scope({**_SCOPE.get().fields, **fields}, []))


def conceal(source: Source) -> None:
    """What is logged in this scope must not show texts out of `source`. Without a scope of its own it is left alone."""
    scope = _SCOPE.get()
    if scope.fields:
        scope.private.append(_Concealed(source))


class _Concealed:
    """What must not be shown, looked up once and only when it is needed: most calls write nothing."""

    __slots__ = ("_known", "_source")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: Private | None = None

    def __call__(self) -> Private:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> Private:
        """What can't be read must not end whoever only wanted to log something, nor be shown."""
        try:
            return redaction.private(self._source())
        except (TypeError, ValueError, RecursionError):
            return redaction.EVERYTHING


def current() -> Scope:
    """What is under way here."""
    return _SCOPE.get()
