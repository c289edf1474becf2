"""The table of docs/scheduling-measured.md: one policy, many worlds, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfymesh.scheduler.simulate.figures import Figures

WORLDS: Mapping[str, Mapping[str, Any]] = {
    **{
        f"{utilisation:g}, seed {seed}": {"utilisation": utilisation, "seed": seed}
        for seed in (1, 2, 3)
        for utilisation in (0.2, 0.5, 0.6, 0.7)
    },
    "2 resident": {"resident": 2},
    "4 resident": {"resident": 4},
    "mixed speeds": {"speeds": [1.0, 0.5]},
    "64 GPUs": {"gpus": 64},
    "first half": {"part": "first"},
    "second half": {"part": "second"},
}
"""What differs from the command line's own options, by the name of a row."""
COMPARED = ("fifo", "least-loaded", "mesh")
_HEAD = ("what", "mean", "p99", "mean, least-loaded", "loading", "later", "Jain, ours / fifo")


def head() -> str:
    """The first two lines."""
    return f"{_line(_HEAD)}\n{_line(['---'] * len(_HEAD))}"


def row(name: str, found: Mapping[str, Figures]) -> str:
    """One world. Times are told as how many times shorter ours is than under `fifo`, or `least-loaded`."""
    fifo, least, ours = (found[policy] for policy in COMPARED)
    return _line(
        (
            name,
            f"{fifo.mean_s / ours.mean_s:.2f}",
            f"{fifo.p99_s / ours.p99_s:.2f}",
            f"{least.mean_s / ours.mean_s:.2f}",
            f"{ours.load_share:.1%}",
            f"{ours.later_than_fifo_share:.1%}",
            f"{ours.jain_slowdown:.3f} / {fifo.jain_slowdown:.3f}",
        )
    )


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
