"""Who of several schedulers acts: the rules of a lease, without IO. Times are of one's own monotonic clock, in seconds.

The lease is the last message on one subject, which names its holder. A holder renews it by appending it again. Every
append is guarded by the message that it follows, so of two who try at the same time one is refused.

Nobody compares clocks. A standby takes the lease over when it has seen the same message for `ttl`, counted from when
it saw it first, which was after it was stored. A holder leads for `ttl` times `MARGIN` from when it *sent* the last
renewal that was confirmed, which was before it was stored. So a holder has stopped leading before anybody else can
begin, as long as their clocks run at about the same rate, however late messages and answers are.
"""

from __future__ import annotations

from dataclasses import dataclass

MARGIN = 0.75
"""The part of `ttl` for which a confirmed renewal is good. The rest is for clocks that run apart."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a lease holds without a renewal, and how often it is renewed and looked at, in seconds."""

    ttl: float = 2.0
    interval: float = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """Read the last message of the lease."""


@dataclass(frozen=True, slots=True)
class Take:
    """Append a message that names us, guarded by the one of sequence `after`."""

    after: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before `until`, unless the lease is seen to change."""

    until: float


Step = Look | Take | Wait


class Candidacy:
    """What one scheduler knows of the lease, and what it should do next.

    Args:
        holder: Its name; no other process may have it, not even the next life of this one.
        terms: What all agree on.
    """

    def __init__(self, holder: str, terms: Terms) -> None:
        self._holder = holder
        self._terms = terms
        self._sequence = -1
        self._named = ""
        self._seen_at = 0.0
        self._looked_at: float | None = None
        self._renewed_at: float | None = None
        self._reigns = 0

    def leads(self, now: float) -> bool:
        """Whether we act."""
        return now < self.lapses

    def reign(self, now: float) -> int:
        """Numbers the times that we have acted without a break, from 1; 0 while we don't act."""
        return self._reigns if self.leads(now) else 0

    @property
    def lapses(self) -> float:
        """When we cease to act unless a renewal is confirmed before; in the past for who does not act."""
        return float("-inf") if self._renewed_at is None else self._renewed_at + self._terms.ttl * MARGIN

    def next(self, now: float) -> Step:
        """What to do now."""
        if self._looked_at is None:
            return Look()
        due = self._due()
        if now >= due:
            return Take(self._sequence)
        if self._named == self._holder:
            return Wait(due)
        look = self._looked_at + self._terms.interval
        return Look() if now >= look else Wait(min(due, look))

    def saw(self, sequence: int, named: str, now: float) -> None:
        """The last message has this sequence and names this holder: nobody where there is none or it was given up.

        `now` is when the answer came.
        """
        if sequence != self._sequence:
            self._sequence, self._named, self._seen_at = sequence, named, now
        if named != self._holder:
            self._renewed_at = None
        self._looked_at = now

    def took(self, sequence: int, sent: float) -> None:
        """Our append, sent at `sent`, was confirmed."""
        if not self.leads(sent):
            self._reigns += 1  # It had lapsed, if only for a moment.
        self._sequence, self._named = sequence, self._holder
        self._seen_at = self._looked_at = self._renewed_at = sent

    def refused(self) -> None:
        """Our append was refused: somebody else was first."""
        self._looked_at = self._renewed_at = None

    def unsure(self) -> None:
        """No answer came: our append may have been stored or not. What was confirmed before is good until it lapses."""
        self._looked_at = None

    def _due(self) -> float:
        """When to append: renewals after the interval, at once where nobody holds it, otherwise once it has expired."""
        if self._named == self._holder:
            return self._seen_at if self._renewed_at is None else self._renewed_at + self._terms.interval
        return self._seen_at + self._terms.ttl if self._named else self._seen_at
