"""A history sorted by what the promises are about."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from comfymesh.testkit.history import (
    SIMULATION,
    Answered,
    Begun,
    Booked,
    Called,
    Closed,
    Defect,
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

Stream = Opened | Told | Progressed | Closed
Following = Joined | Heard | Left


@dataclass(slots=True)
class Call:
    """A call and its outcome; neither answer nor refusal where it was still open at the end."""

    called: Called
    answer: Answered | None = None
    refusal: Refused | None = None


@dataclass(slots=True)
class View:
    """A history, sorted.

    Attributes:
        log: The records of each task, in the order of the stream.
        calls: Every call, in order.
        streams: What each watcher did and was told, in order.
        followers: What each follower of many tasks did and heard, in order.
        sums: What groups were said to have come to.
        made: What the log says that tasks made.
        read: What was read of that, by artifact.
        prompts: What ComfyUI executed.
        defects: What the mesh itself called a defect.
        shown: What was shown to be wanted of nodes, in order.
        faults: What was broken on purpose, and mended.
        leases: Who took the lease, in order.
        booked: What the ledger had.
        is_virtual: Whether time was virtual, so that nothing was late for want of a processor.
    """

    log: dict[str, list[Logged]] = field(default_factory=lambda: defaultdict(list))
    calls: dict[int, Call] = field(default_factory=dict)
    streams: dict[str, list[Stream]] = field(default_factory=lambda: defaultdict(list))
    followers: dict[str, list[Following]] = field(default_factory=lambda: defaultdict(list))
    sums: list[Summed] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    read: dict[str, list[Read]] = field(default_factory=lambda: defaultdict(list))
    prompts: list[Prompted] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    leases: list[Leased] = field(default_factory=list)
    booked: list[Booked] = field(default_factory=list)
    is_virtual: bool = False

    def position(self, task: str, state: str, attempt: int, time: int) -> int | None:
        """Where in the task's log a state is that somebody saw; None where the log never had it."""
        for number, record in enumerate(self.log.get(task, ())):
            if (record.state, record.attempt, record.time) == (state, attempt, time):
                return number
        return None


def view(events: list[Event]) -> View:
    """Sort a history."""
    found = View()
    for event in events:
        match event:
            case Called() | Answered() | Refused():
                _put_call(found, event)
            case Opened() | Told() | Progressed() | Closed():
                found.streams[event.watcher].append(event)
            case Joined() | Heard() | Left():
                found.followers[event.follower].append(event)
            case _:
                _put_fact(found, event)
    for records in found.log.values():
        records.sort(key=lambda record: record.sequence)
    return found


def _put_fact(found: View, event: Event) -> None:
    match event:
        case Logged():
            found.log[event.task].append(event)
        case Made():
            found.made.append(event)
        case Read():
            found.read[event.artifact].append(event)
        case Summed():
            found.sums.append(event)
        case Prompted():
            found.prompts.append(event)
        case Defect():
            found.defects.append(event)
        case Fault():
            found.faults.append(event)
        case _:
            _put_rest(found, event)


def _put_rest(found: View, event: Event) -> None:
    match event:
        case Begun():
            found.is_virtual = event.what == SIMULATION
        case Leased():
            found.leases.append(event)
        case Booked():
            found.booked.append(event)
        case Shown():
            found.shown.append(event)
        case _:
            return


def _put_call(found: View, event: Called | Answered | Refused) -> None:
    match event:
        case Called():
            found.calls[event.call] = Call(event)
        case Answered():
            _call(found, event).answer = event
        case Refused():
            _call(found, event).refusal = event


def _call(found: View, event: Answered | Refused) -> Call:
    """The call of an answer; a history may begin in its middle."""
    return found.calls.setdefault(event.call, Call(Called(event.at, event.call, "unknown")))
