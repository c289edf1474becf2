"""How the instances of a node become those that its settings name, one after the other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from comfymesh.agent.domain.pool_values import Phase


@dataclass(frozen=True, slots=True)
class Present:
    """An instance that is there.

    Attributes:
        digest: Of the settings by which it was made.
        phase: What becomes of it.
        failed: Whether it was seen broken, by these settings, and has not served since.
    """

    digest: str
    phase: Phase
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Add:
    """Make an instance that the settings name."""

    name: str


@dataclass(frozen=True, slots=True)
class Remove:
    """End an instance that the settings do not name."""

    name: str


@dataclass(frozen=True, slots=True)
class Renew:
    """Have one by the new settings take the place of an instance, once that holds nothing."""

    name: str


Step = Add | Remove | Renew


def steps(wanted: Mapping[str, str], present: Mapping[str, Present], renewed: Collection[str]) -> Iterator[Step]:
    """What to do now.

    What does not run, or does not serve anyway, is renewed at once. What serves is renewed one at a time: the next only
    once all that were renewed before serve. So with settings that do not work, one instance is lost and not all.

    An agent that is started again finds what runs as it is, and goes on in the same way: what it has not seen serve is
    taken for renewed.

    Args:
        wanted: The digests of what the settings name, by name.
        present: What is there, by name.
        renewed: Names of what was made or found since the settings changed last.
    """
    yield from (Add(name) for name in wanted if name not in present)
    leaving = (name for name, there in present.items() if name not in wanted)
    yield from (Remove(name) for name in leaving if present[name].phase is not Phase.STOPPING)
    stale = [name for name, there in present.items() if wanted.get(name, there.digest) != there.digest]
    yield from (Renew(name) for name in stale if present[name].phase in {Phase.STOPPED, Phase.BROKEN})
    if not held_up(present, renewed) and not any(there.phase is Phase.STOPPING for there in present.values()):
        serving = (name for name in stale if present[name].phase in {Phase.STARTING, Phase.SERVING})
        yield from (Renew(name) for name, _ in zip(serving, range(1), strict=False))


def held_up(present: Mapping[str, Present], renewed: Collection[str]) -> list[str]:
    """Who was made or found, and does not serve yet.

    One that has nothing to do and was stopped for it is no hindrance, unless it was broken before: what ails it
    would befall the next too.
    """
    return [name for name in renewed if name in present and _hinders(present[name])]


def _hinders(there: Present) -> bool:
    return there.failed if there.phase is Phase.STOPPED else there.phase is not Phase.SERVING
