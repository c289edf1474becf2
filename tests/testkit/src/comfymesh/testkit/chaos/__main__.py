"""Wreaks chaos and says what it found."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from comfymesh.runtime.faultpoints import FaultPoint
from comfymesh.testkit.chaos.machines import ClusterChaos, lose_each, losses
from comfymesh.testkit.chaos.run import Chaos, wreak
from comfymesh.testkit.checking import Verdict, check
from comfymesh.testkit.history import Ended, Event, Fault, Logged
from comfymesh.testkit.recording import save

_CLUSTER = Path("deploy/nats/cluster.conf")


def main() -> int:
    """Entry point; the exit status is 1 where a promise was broken."""
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    _say(f"chaos for {arguments.seconds:g} s, seed {seed}")
    began = time.monotonic()
    failures = list[str]()
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        if arguments.cluster:
            cluster = asyncio.run(_lose_machines(seed, arguments.seconds, Path(directory)))
            chaos, failures = cluster.chaos, cluster.users.failures
            _say(f"calls while all was restarted: {sum(cluster.users.calls.values())}, failed: {len(failures)}")
        else:
            points = list(FaultPoint) * arguments.rounds
            pythons = dict.fromkeys(arguments.of.split(","), arguments.python)
            chaos = asyncio.run(wreak(seed, arguments.seconds, Path(directory), points, pythons))
    verdict = check(chaos.history)
    path = arguments.save / f"{seed}.jsonl"
    save(chaos.history, path)
    for line in (*failures, *summary(chaos, verdict)):
        _say(line)
    _say(f"it took {time.monotonic() - began:.0f} s; the history is {path}")
    return 0 if verdict.good and not failures else 1


async def _lose_machines(seed: int, seconds: float, directory: Path) -> ClusterChaos:
    return await lose_each(seed, losses(random.Random(seed), seconds), directory, _CLUSTER)


def summary(chaos: Chaos, verdict: Verdict) -> list[str]:
    """What happened, and the verdict."""
    history = chaos.history
    done = Counter(event.what for event in history if isinstance(event, Fault) and event.target)
    last = {event.task: event.state for event in history if isinstance(event, Logged)}
    return [
        f"done to it: {', '.join(f'{count} x {what}' for what, count in done.items() if 'over' not in what)}",
        f"tasks: {', '.join(f'{count} {state}' for state, count in sorted(Counter(last.values()).items()))}",
        f"pictures made: {chaos.pictures}; peace after {_peace(history):.1f} s",
        str(verdict),
    ]


def _peace(history: list[Event]) -> float:
    """How long after the last mischief the last task ended."""
    mended = next(
        (event.at for event in history if isinstance(event, Fault) and event.what.startswith("everything")), 0.0
    )
    ended = [event.at for event in history if isinstance(event, Logged)]
    return max(0.0, max(ended, default=0.0) - mended) if any(isinstance(e, Ended) for e in history) else 0.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it lasts")
    parser.add_argument(
        "--seed", type=int, help="decides everything that is left to chance; drawn where it is not given"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often processes die at every fault point before")
    parser.add_argument(
        "--cluster", action="store_true", help="lose machines of a cluster of three, and restart everything in turn"
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter of another version's environment")
    parser.add_argument("--of", default="", help="services that it runs, such as agent-0,api-1")
    parser.add_argument("--save", type=Path, default=Path("out/chaos"), help="where the history goes")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
