"""Histories in which every promise was kept, made as the mesh would make them, but without one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from comfymesh.tasks import machine
from comfymesh.tasks.events import AttemptFailed, Expired, Started
from comfymesh.tasks.record import FINAL, State
from comfymesh.testkit import tasks
from comfymesh.testkit.history import (
    Answered,
    Begun,
    Called,
    Closed,
    Ended,
    Event,
    Logged,
    Made,
    Opened,
    Progressed,
    Prompted,
    Read,
    Refused,
    Told,
)

DIGEST = "ab" * 32
_MOST_CHANGES = 12
_BEGUN = {Started.__name__, AttemptFailed.__name__}
_FIRST = machine.create(tasks.definition())


Path = Sequence[tuple[str, State]]
"""What happens to a task after its creation: events, each with the state that follows."""

RETRIED: Path = (
    ("Assigned", State.ASSIGNED),
    ("Started", State.RUNNING),
    ("AttemptFailed", State.QUEUED),
    ("Assigned", State.ASSIGNED),
    ("Started", State.RUNNING),
    ("Succeeded", State.SUCCEEDED),
)
"""A task that succeeds in its second attempt."""

RESOLVED: Path = (
    ("Assigned", State.ASSIGNED),
    ("AttemptFailed", State.FAILED),
    ("Resolved", State.FAILED),
)
"""A task that fails, and that somebody has seen to."""


def history(seed: int, count: int = 3) -> list[Event]:
    """A history of `count` tasks, each with its calls and a watcher that comes and goes."""
    rng = random.Random(seed)
    return _told([_path(rng) for _ in range(count)], rng, from_the_start=False)


def history_of(path: Path) -> list[Event]:
    """A history of one task, with a watcher that is there from its creation to its end."""
    return _told([path], random.Random(0), from_the_start=True)


def _told(paths: Sequence[Path], rng: random.Random, *, from_the_start: bool) -> list[Event]:
    sequences = iter(range(1, 10_000))
    logs = [list(_log(rng, f"t{number}", path, sequences)) for number, path in enumerate(paths)]
    events: list[Event] = [Begun(0.0, "made up", 0)]
    for number, log in enumerate(logs):
        events += _creation(number, log)
        events += _execution(log)
        begin = 0 if from_the_start else rng.randrange(len(log))
        events += _watcher(rng, f"w{number}", log, begin)
        events += _reads(100 + number, log)
    events += [record for log in logs for record in log]
    events += [event for log in logs for event in _artifact(log[-1])]
    return [*events, Ended(1000.0, settled=True)]


def _path(rng: random.Random) -> Path:
    """A random walk through the table of transitions, from creation to an end."""
    path, state = list[tuple[str, State]](), _FIRST.state
    while state not in FINAL:
        choices = [
            (kind.__name__, target)
            for (source, kind), targets in machine.TRANSITIONS.items()
            for target in targets
            if source is state and not (kind is Expired and _BEGUN & {event for event, _ in path})
        ]
        ends = [choice for choice in choices if choice[1] in FINAL]
        path.append(rng.choice(ends if len(path) > _MOST_CHANGES and ends else choices))
        state = path[-1][1]
    return [*path, *RESOLVED[-1:]] if state is State.FAILED and rng.random() < 0.5 else path


def _log(rng: random.Random, task: str, path: Path, sequences: Iterator[int]) -> Iterator[Logged]:
    now, before, attempt, after = rng.uniform(1, 10), _FIRST.state, 0, 0
    for event, state in ((_FIRST.event, _FIRST.state), *path):
        sequence, time = next(sequences), round(1_700_000_000_000_000 + now * 1e6)
        attempt += (before, state) == (State.QUEUED, State.ASSIGNED)
        yield Logged(now, task, sequence, after, event, state, attempt, time, "n", f"content of {task}")
        before, after, now = state, sequence, now + rng.uniform(0.001, 5)


def _creation(number: int, log: list[Logged]) -> Iterator[Event]:
    first = log[0]
    request = {"request_id": f"r{number}", "content": first.content}
    for call in (10 * number, 10 * number + 1):
        yield Called(first.at, call, "create", **request)
    yield Refused(first.at, 10 * number + 1, "UNAVAILABLE")
    yield Answered(first.at, 10 * number, first.task, first.state, first.attempt, first.time)
    yield Called(first.at, 10 * number + 2, "create", request_id=f"r{number}", content="other content")
    yield Refused(first.at, 10 * number + 2, "REQUEST_ID_REUSED")


def _execution(log: list[Logged]) -> Iterator[Event]:
    for record in log:
        if record.state == State.RUNNING:
            prompt = f"{record.task}/{record.attempt}"
            yield Prompted(record.at, "c/0", prompt, "began", record.task)
            yield Prompted(record.at, "c/0", prompt, "ended", record.task)


def _watcher(rng: random.Random, watcher: str, log: list[Logged], begin: int) -> Iterator[Event]:
    """Watches from a record on, breaks off now and then, and goes on from its token."""
    token, task, now = "", log[0].task, log[-1].at
    yield Opened(now, watcher, task)
    for record in log[begin:]:
        token = f"{watcher}@{record.sequence}"
        yield Told(now, watcher, task, token, record.state, record.attempt, record.time)
        if record.state == State.RUNNING:
            for fraction in (0.1, 0.1, 0.7):
                yield Progressed(now, watcher, task, token, record.attempt, fraction, "EXECUTING")
        if record.state not in FINAL and rng.random() < 0.3:
            yield Closed(now, watcher, task, "UNAVAILABLE")
            yield Opened(now, watcher, task, token)
        if record.state in FINAL:
            break
    yield Closed(now, watcher, task)


def _reads(call: int, log: list[Logged]) -> Iterator[Event]:
    last = log[-1]
    yield Called(last.at, call, "get", last.task)
    yield Answered(last.at, call, last.task, last.state, last.attempt, last.time)


def _artifact(last: Logged) -> Iterator[Event]:
    if last.state == State.SUCCEEDED:
        name = f"tasks/{last.task}/artifacts/0"
        yield Made(last.at, last.task, name, 10, DIGEST)
        yield Read(last.at, last.task, name, error="UNAVAILABLE")
        yield Read(last.at, last.task, name, 10, DIGEST)
