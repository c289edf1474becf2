"""Everything that a history knows of one task, in order, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comfymesh.testkit.history import (
    UNGUARDED,
    Answered,
    Begun,
    Booked,
    Called,
    Closed,
    Defect,
    Ended,
    Event,
    Fault,
    Heard,
    Joined,
    Leased,
    Left,
    Logged,
    Made,
    Opened,
    Progressed,
    Prompted,
    Read,
    Refused,
    Shown,
    Summed,
    Told,
)

_MOST_LINES = 200


def story(events: Sequence[Event], task: str) -> list[str]:
    """The story of a task: a line for each event that concerns it, faults included.

    The log's records are put where they were made, by their own times. Of a very long story the middle is left out.
    """
    calls = {event.call for event in events if isinstance(event, Answered) and event.task == task}
    calls |= {event.call for event in events if isinstance(event, Called) and event.task == task}
    lines = [line for event in events for line in _line(event, task, calls)]
    told = [f"{at:10.3f}  {text}" for at, text in sorted(lines, key=lambda line: line[0])]
    left_out = len(told) - _MOST_LINES
    if left_out <= 0:
        return told
    return [*told[: _MOST_LINES // 2], f"... {left_out} lines ...", *told[-_MOST_LINES // 2 :]]


def _line(event: Event, task: str, calls: set[int]) -> Iterator[tuple[float, str]]:
    match event:
        case Begun() | Ended() | Fault() | Defect():
            yield event.at, _general(event)
        case Leased() | Booked() | Shown():
            # Renewals are many and tell nothing: of the lease, only a story of no task tells.
            if not task:
                yield event.at, _general(event)
        case Joined() | Left() | Summed():
            return
        case Called() | Answered() | Refused():
            if event.call in calls:
                yield event.at, _call(event)
        case _:
            if event.task == task:
                yield event.at, _own(event)


def _general(event: Begun | Ended | Fault | Defect | Leased | Booked | Shown) -> str:
    match event:
        case Begun():
            return f"-- {event.what}, seed {event.seed}"
        case Ended():
            return f"-- the run ended{'' if event.settled else ' before all was quiet'}"
        case Fault():
            return f"!! {event.what} {event.target}"
        case Defect():
            return f"?? a defect of {event.process}: {event.what}"
        case Leased():
            return f"## the lease: {event.holder or 'nobody'}"
        case Booked():
            return f"## the ledger: {event.attempts} attempts, {event.seconds:.6f} s"
        case Shown():
            return f"<- {event.api} shows wish {event.most} for {event.node}, asked at {event.asked:.3f} s"


def _call(event: Called | Answered | Refused) -> str:
    match event:
        case Called():
            request = f" request {event.request_id} content {event.content}" if event.request_id else ""
            return f"-> {event.method} #{event.call} {event.task}{request}"
        case Answered():
            return f"<- #{event.call} {event.task} is {event.state} (attempt {event.attempt})"
        case Refused():
            return f"<- #{event.call} failed: {event.reason}"


def _own(event: Opened | Told | Progressed | Closed | Heard | Logged | Made | Read | Prompted) -> str:
    match event:
        case Opened():
            return f"   {event.watcher} watches{f' from {event.token}' if event.token else ''}"
        case Told():
            return f"   {event.watcher} is told {event.state} (attempt {event.attempt}) {event.token}"
        case Heard():
            return f"   {event.follower} hears {event.state} (attempt {event.attempt}) {event.token}"
        case Progressed():
            return f"   {event.watcher} sees {event.phase} {event.fraction:.3f} (attempt {event.attempt})"
        case Closed():
            return f"   {event.watcher}: the stream ended{f': {event.reason}' if event.reason else ''}"
        case Logged():
            guard = "no guard" if event.after == UNGUARDED else f"after {event.after}"
            return f"## {event.sequence} ({guard}): {event.event} -> {event.state} {event.attempt} {event.node}"
        case Made():
            return f"   made {event.artifact}: {event.size_bytes} bytes, {event.sha256[:12]}"
        case Read():
            return f"   read {event.artifact}: {event.error or f'{event.size_bytes} bytes, {event.sha256[:12]}'}"
        case Prompted():
            return f"   {event.server} {event.what} {event.prompt_id}"
