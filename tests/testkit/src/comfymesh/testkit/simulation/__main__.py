"""Runs seeds and says what they found. A failing seed is printed with its story, and can be run again alone."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

from comfymesh.testkit.checking import Verdict, check
from comfymesh.testkit.history import Fault
from comfymesh.testkit.recording import save
from comfymesh.testkit.simulation.planted import PLANTED, planted
from comfymesh.testkit.simulation.run import quiet, simulate

_HASH_SEED = "PYTHONHASHSEED"

_defects = ExitStack()
"""Those of this process; they stay to its end."""


def main() -> int:
    """Entry point; the exit status is 1 where a promise was broken."""
    arguments = _arguments()
    if os.environ.get(_HASH_SEED) != "0":
        # The order of sets hangs on it, and with that the order of events.
        os.environ[_HASH_SEED] = "0"
        again = [sys.executable, "-m", "comfymesh.testkit.simulation", *sys.argv[1:]]
        os.execv(sys.executable, again)  # noqa: S606  # no shell is needed
    began, failed, done, faults = time.monotonic(), list[int](), 0, 0
    with Pool(arguments.processes, _begin, (arguments.plant,)) as pool:
        for ran in pool.imap(_run, _seeds(arguments.seeds)):
            done += 1
            faults += ran.faults
            if ran.verdict is not None:
                failed.append(ran.seed)
                _tell(ran.seed, ran.verdict, arguments.save)
                if arguments.first:
                    break
    minutes = (time.monotonic() - began) / 60
    _say(f"{done} seeds in {minutes * 60:.1f} s ({done / minutes:.0f} a minute), {faults} faults")
    _say(f"seeds that broke a promise: {', '.join(map(str, failed)) or 'none'}")
    return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class _Ran:
    """What came of a seed: how many faults it met, and the verdict where a promise was broken."""

    seed: int
    faults: int
    verdict: Verdict | None


def _begin(defect: str) -> None:
    """One of the processes: all that it runs has the defect."""
    quiet()
    # A seed's objects go with it. Looking for garbage meanwhile was a tenth to a quarter of its time.
    gc.disable()
    gc.freeze()
    _defects.enter_context(planted(defect))


def _run(seed: int) -> _Ran:
    verdict = check(simulate(seed))
    faults = sum(isinstance(event, Fault) for event in verdict.history)
    gc.collect(0)  # Of each seed, while its objects are in the processor's caches.
    return _Ran(seed, faults, None if verdict.good else verdict)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("simulate", description=__doc__)
    parser.add_argument("--seeds", default="0:100", help="a seed, or FIRST:BEHIND for a range")
    parser.add_argument("--save", type=Path, default=Path("out/simulation"), help="where histories of failures go")
    parser.add_argument("--plant", default="", choices=["", *PLANTED], help="put this defect into the code")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many run side by side")
    parser.add_argument("--first", action="store_true", help="end with the first seed that breaks a promise")
    return parser.parse_args()


def _seeds(text: str) -> Sequence[int]:
    first, colon, behind = text.partition(":")
    return range(int(first), int(behind)) if colon else [int(first)]


def _tell(seed: int, verdict: Verdict, folder: Path) -> None:
    path = folder / f"{seed}.jsonl"
    save(verdict.history, path)
    _say(f"\nseed {seed} broke a promise; its history is {path}, `make simulate SEED={seed}` runs it again", verdict)


def _say(*words: object) -> None:
    sys.stdout.write("\n".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
