"""What happened in a run, as those saw it who took part: the material of the checker.

A history is append-only: one line of JSON for each event, times in seconds since the run began, on a clock that never
goes back. Whatever can be observed from outside is in it (calls, answers, streams, the log as it was read at the end,
what ComfyUI executed, which faults were injected), and nothing that the mesh says only of itself.
"""

from __future__ import annotations

from dataclasses import dataclass

UNGUARDED = -1
"""`Logged.after` of a record that was stored without a guard."""

SIMULATION = "simulation"
"""`Begun.what` of a run on virtual time."""

CLOCKS = ("clock ahead", "clock behind")
"""Faults that set a clock."""
LEAVES_NODES = (*CLOCKS, "slow comfyui", "kill comfyui")
"""Faults that keep no node from being heard."""
ROUGH_BUS = "rough bus"
"""All the time until everything is mended, messages may be late, refused or left without an answer."""
PROMPT_TRAP = "prompt trap"
"""A trap for the agent of a ComfyUI that comes to something with a prompt."""
LAG = "lag"
"""One stream tells one process late, by less than any node or lease is waited for."""
MENDED = "everything is mended"
LEAVES_SCHEDULERS = ("slow comfyui", "kill comfyui", PROMPT_TRAP, "killed with a prompt", MENDED)
"""Faults that keep no scheduler from acting."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The run began: what was run, and the seed of all its chance."""

    at: float
    what: str
    seed: int


@dataclass(frozen=True, slots=True)
class Called:
    """A client made a call.

    Attributes:
        at: When.
        call: Number of the call.
        method: create, get, cancel ...
        task: The task it is about; empty for one that is to be created.
        request_id: Of a creation.
        content: Names the content of a creation; equal for equal contents.
    """

    at: float
    call: int
    method: str
    task: str = ""
    request_id: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A call was answered with a task as it stood: `time` is its update time in microseconds since the epoch."""

    at: float
    call: int
    task: str
    state: str
    attempt: int
    time: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A call failed; `reason` is the machine-readable one, or the status code where nobody gave one."""

    at: float
    call: int
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A watcher opened a stream, with its resume token or without one."""

    at: float
    watcher: str
    task: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A watcher was told a state."""

    at: float
    watcher: str
    task: str
    token: str
    state: str
    attempt: int
    time: int


@dataclass(frozen=True, slots=True)
class Progressed:
    """A watcher was told progress; `phase` as in the API, without its prefix."""

    at: float
    watcher: str
    task: str
    token: str
    attempt: int
    fraction: float
    phase: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A watcher's stream ended: well where `reason` is empty."""

    at: float
    watcher: str
    task: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of the task log.

    Attributes:
        at: When it was stored.
        task: The task.
        sequence: Of the record, in the stream.
        after: The sequence that its writer expected to be the last, UNGUARDED where it expected nothing.
        event: What made the change.
        state: The state after it.
        attempt: The attempt.
        time: Update time, in microseconds since the epoch.
        node: Where the attempt is.
        content: Names the content that the task was created with, as in `Called`.
        group: The group that it belongs to, `groups/...`; empty for none.
        origin: The dead letter that it was made of; empty for none.
        failure: How the attempt failed, where that is what it tells.
        limit: For how many seconds an attempt may be executed; 0 where that is not known.
        start_by: When its first attempt must have begun, on the clock of `at`; 0 where that does not matter.
        used: Seconds that the attempt has used which it ended; None where it ended none.
    """

    at: float
    task: str
    sequence: int
    after: int
    event: str
    state: str
    attempt: int
    time: int
    node: str = ""
    content: str = ""
    group: str = ""
    origin: str = ""
    failure: str = ""
    limit: float = 0.0
    start_by: float = 0.0
    used: float | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """A scheduler took its lease or renewed it, which holds `ttl` seconds; or gave it up, and `holder` is empty."""

    at: float
    holder: str
    ttl: float


@dataclass(frozen=True, slots=True)
class Booked:
    """What the ledger had at the end: how many attempts, and the seconds that they used."""

    at: float
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Joined:
    """A follower opened a stream of many tasks: of a group, or of all where `scope` is empty."""

    at: float
    follower: str
    scope: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """A follower was told a task as it stood; or, without a task, `state`: CAUGHT_UP or HEARTBEAT."""

    at: float
    follower: str
    token: str
    task: str
    state: str
    attempt: int = 0
    time: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """A follower's stream ended: because it had heard the ends of all that it waited for where `reason` is empty."""

    at: float
    follower: str
    awaited: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Summed:
    """What a group was said to have come to at its end: how many of its tasks are in each state that has any."""

    at: float
    group: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Made:
    """The log says that a task made an artifact."""

    at: float
    task: str
    artifact: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Read:
    """Somebody read an artifact: what came, or why it did not."""

    at: float
    task: str
    artifact: str
    size_bytes: int = 0
    sha256: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Prompted:
    """A ComfyUI began to execute a prompt, or ended it (`what` is began or ended).

    Attributes:
        at: When.
        server: Which life of which ComfyUI, as name/life.
        prompt_id: The prompt.
        what: began or ended.
        task: The task that it is an attempt of; empty where that is not known.
    """

    at: float
    server: str
    prompt_id: str
    what: str
    task: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """An api showed what is wanted of a node.

    Attributes:
        at: When.
        asked: When it was asked, or told of the wish.
        api: Which, and which life of it.
        began: When that life began.
        node: The node, `nodes/...`.
        least: Number of the first wish that it may have shown, in the order in which they were made; 0 for none.
        most: Number of the last one. Wishes to open a node look alike.
    """

    at: float
    asked: float
    api: str
    began: float
    node: str
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was broken on purpose, or mended."""

    at: float
    what: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Defect:
    """A process of the mesh met a defect of its own: an error that nobody expected."""

    at: float
    process: str
    what: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over; `settled` where everything was left in peace until nothing changed any more."""

    at: float
    settled: bool


Event = (
    Begun
    | Called
    | Answered
    | Refused
    | Opened
    | Told
    | Progressed
    | Closed
    | Logged
    | Leased
    | Booked
    | Joined
    | Heard
    | Left
    | Summed
    | Made
    | Read
    | Prompted
    | Shown
    | Fault
    | Defect
    | Ended
)
