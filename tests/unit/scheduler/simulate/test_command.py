"""The simulator's command line: what it writes, and what it refuses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from comfymesh.scheduler.simulate.command import POLICIES, main
from comfymesh.scheduler.simulate.trace import Request, part_of

HEADER = "arrival_s,exec_s,tenant,model,num_lora,kind,images,steps"
KEYS = {
    "mean_s",
    "p50_s",
    "p95_s",
    "p99_s",
    "load_share",
    "loads_per_100",
    "longest_wait_s",
    "later_than_fifo_share",
    "jain_slowdown",
    "decision_p99_us",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a small trace and its load times."""
    chance = random.Random(1)
    rows = [
        f"{chance.uniform(0, 9000):.1f},{chance.choice([5, 20, 60])},t{chance.randrange(9)},m{chance.randrange(6)},"
        f"{chance.choice([0, 0, 1])},TXT,1,30"
        for _ in range(300)
    ]
    (tmp_path / "trace.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "loads.csv").write_text("quantile,seconds\n0.0,10\n1.0,30\n")
    (tmp_path / "loras.csv").write_text("quantile,seconds\n0.0,3\n1.0,5\n")
    return tmp_path


def run(files: Path, *more: str) -> dict[str, dict[str, float]]:
    main(
        [
            *("--trace", str(files / "trace.csv"), "--load-times", str(files / "loads.csv"), "--gpus", "4"),
            *("--lora-load-times", str(files / "loras.csv"), "--json", str(files / "out.json"), *more),
        ]
    )
    found: dict[str, dict[str, float]] = json.loads((files / "out.json").read_text())["policies"]
    return found


def test_every_policy_has_every_figure(files: Path) -> None:
    found = run(files, "--plot", str(files / "out.png"))
    assert set(found) == set(POLICIES)
    assert all(set(figures) == KEYS for figures in found.values())
    assert (files / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_figures(files: Path) -> None:
    first, again, other = (run(files, "--seed", seed) for seed in ("3", "3", "4"))
    for figures in (*first.values(), *again.values()):
        del figures["decision_p99_us"]
    assert first == again
    assert first != other


def test_only_the_policies_that_were_asked_for_are_shown(files: Path) -> None:
    assert set(run(files, "--policy", "mesh", "sticky")) == {"mesh", "sticky"}


def test_without_contention_nobody_is_later_than_under_fifo(files: Path) -> None:
    found = run(files, "--policy", "fifo", "mesh", "--utilisation", "0.05")
    assert found["mesh"]["mean_s"] <= found["fifo"]["mean_s"]
    assert found["fifo"]["later_than_fifo_share"] == 0


def test_without_a_file_loras_are_free_and_that_is_said(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--trace", str(files / "trace.csv"), "--load-times", str(files / "loads.csv"), "--policy", "fifo"])
    assert "LoRAs load for free" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("trace.csv", "arrival_s,exec_s\n0,1\n", "has no column tenant, model"),
        ("trace.csv", HEADER + "\n", "has no rows"),
        ("trace.csv", "", "has no column arrival_s"),
        ("trace.csv", HEADER + "\n0,soon,t,m,0,TXT,1,30\n", "line 2: exec_s is 'soon', not a number"),
        ("trace.csv", HEADER + "\n0,0,t,m,0,TXT,1,30\n", "exec_s must be above 0"),
        ("trace.csv", HEADER + "\n0,nan,t,m,0,TXT,1,30\n", "not a finite number"),
        ("trace.csv", HEADER + "\n0,1,t,m,0.5,TXT,1,30\n", "num_lora is '0.5', not a count"),
        ("trace.csv", HEADER + "\n0,1,t,m,999999999,TXT,1,30\n", "num_lora must be at most 100"),
        ("trace.csv", HEADER + "\n0,1\n", "line 2"),
        ("loads.csv", "quantile,seconds\n0,-1\n", "seconds must not be negative"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(
    files: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, words: str
) -> None:
    (files / name).write_text(text)
    with pytest.raises(SystemExit) as ended:
        run(files)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert name in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gpus", "0"],
        ["--gpus", "many"],
        ["--utilisation", "1.5"],
        ["--resident", "-1"],
        ["--policy", "best"],
        ["--set", "stay=-1"],
        ["--set", "nothing=1"],
        ["--speeds", "0"],
        ["--speeds", "fast"],
        ["--trace", "/nowhere"],
    ],
)
def test_flags_that_make_no_sense_are_refused(files: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(files, *arguments)
    assert ended.value.code == 2


def test_the_table_has_a_row_for_each_world_that_is_asked_for(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            *("--trace", str(files / "trace.csv"), "--load-times", str(files / "loads.csv"), "--gpus", "4"),
            *(
                "--lora-load-times",
                str(files / "loras.csv"),
                "--table",
                "0.5, seed 1",
                "2 resident",
                "mixed speeds",
                "first half",
            ),
        ]
    )
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["what", "---", "0.5, seed 1", "2 resident", "mixed speeds", "first half"]
    assert {len(line) for line in lines} == {7}
    alone = run(files, "--utilisation", "0.5")
    assert lines[2][1] == f"{alone['fifo']['mean_s'] / alone['mesh']['mean_s']:.2f}"
    assert lines[2][3] == f"{alone['least-loaded']['mean_s'] / alone['mesh']['mean_s']:.2f}"
    assert len({tuple(line[1:]) for line in lines[2:]}) == 4


def test_halves_are_the_halves() -> None:
    requests = [Request(number, float(number), 1.0, "t", "m", (), "s", 1.0) for number in range(5)]
    assert [r.arrival for r in part_of(requests, "first")] == [0.0, 1.0]
    assert [(r.number, r.arrival) for r in part_of(requests, "second")] == [(0, 3.0), (1, 4.0)]
    assert list(part_of(requests, None)) == requests
    assert len(part_of(requests[:1], "second")) == 1
