"""What is simulated of cells, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. Times in seconds.

    Attributes:
        cells: How many there are.
        nodes: Nodes of each.
        instances: Instances of each node.
        utilisation: Share of all instances' time that runs and loads would take if nothing were lost.
        run: Mean time of a task's run.
        load: Time to load a model that an instance does not hold.
        models: Model sets; popular ones are much more so.
        tenants: How many tenants.
        seconds: For how long tasks arrive.
        lost_at: When the first cell is lost; None for never.
        lost_for: For how long.
        notice: After so long the router knows that a cell is lost, or back. Callers try again meanwhile.
        report_every: How often a node reports.
        seed: Draws everything.
    """

    cells: int = 3
    nodes: int = 2000
    instances: int = 1
    utilisation: float = 0.6
    run: float = 60.0
    load: float = 15.0
    models: int = 200
    tenants: int = 1000
    seconds: float = 900.0
    lost_at: float | None = None
    lost_for: float = 300.0
    notice: float = 5.0
    report_every: float = 2.0
    seed: int = 1

    @property
    def slots(self) -> int:
        """Instances of one cell."""
        return self.nodes * self.instances

    @property
    def rate(self) -> float:
        """Tasks that arrive in a second. Nearly all find their model loaded; a tenth is allowed for loads."""
        return self.cells * self.slots * self.utilisation / (self.run + 0.1 * self.load)


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment.

    Attributes:
        time: When.
        waiting: Tasks that wait, by cell.
        running: Tasks that run, by cell.
        done: Tasks that have succeeded so far, by cell.
        refused: Calls that were not answered so far; each was made again.
    """

    time: float
    waiting: tuple[int, ...]
    running: tuple[int, ...]
    done: tuple[int, ...]
    refused: int


@dataclass(slots=True)
class Outcome:
    """What became of it.

    Attributes:
        samples: One a second.
        created: Tasks that were created, each in one cell.
        succeeded: Tasks that succeeded.
        twice: Tasks that were executed more than once, since their cell was lost meanwhile.
        waits: Seconds from each task's creation to its last beginning, for tasks of cells that were not lost.
        lost_waits: The same for tasks of the lost one.
    """

    samples: list[Sample] = field(default_factory=list)
    created: int = 0
    succeeded: int = 0
    twice: int = 0
    waits: list[float] = field(default_factory=list)
    lost_waits: list[float] = field(default_factory=list)
