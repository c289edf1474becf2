from __future__ import annotations

import io
from datetime import timedelta
from functools import reduce
from pathlib import Path

from rich.console import Console
from rich.spinner import Spinner

from comfymesh.cli.live import render
from comfymesh.cli.plain import PlainLines, saved_line
from comfymesh.cli.view import View, sentence
from comfymesh.client import (
    Artifact,
    ArtifactStored,
    Event,
    LoadedArtifact,
    Phase,
    Preview,
    PreviewArrived,
    Progress,
    Progressed,
    Task,
    TaskChanged,
    TaskState,
)

NOW = 100.0


def task(state: TaskState, *, attempt: int = 1, **more: str) -> TaskChanged:
    placed = {} if state is TaskState.QUEUED else {"node": "nodes/gpu-1", "instance": "comfyui-0"}
    return TaskChanged(Task("tasks/t1", state, attempt=attempt, **{**placed, **more}))


def waiting(position: int) -> Progressed:
    return Progressed(Progress(phase=Phase.WAITING, queue_position=position))


def executing(fraction: float, *, attempt: int = 1, step: int = 0) -> Progressed:
    return Progressed(
        Progress(
            attempt=attempt,
            phase=Phase.EXECUTING,
            fraction=fraction,
            graph_nodes_done=4,
            graph_node_count=7,
            graph_node="3",
            graph_node_class="KSampler",
            step=step,
            step_count=20 if step else 0,
            eta=timedelta(seconds=30),
        )
    )


def view(*events: Event) -> View:
    return reduce(lambda seen, event: seen.after(event, NOW), events, View("host:1", began=NOW - 5))


def drawn(seen: View, now: float = NOW, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(seen, now, Spinner("dots"), width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_before_the_server_confirms_the_display_says_what_is_done() -> None:
    assert "sending the graph and its inputs to host:1  5 s" in drawn(view())[0]


def test_a_waiting_task_shows_its_place_and_no_bars() -> None:
    lines = drawn(view(task(TaskState.QUEUED, attempt=0), waiting(3)))
    assert len(lines) == 1
    assert "t1  waiting, position 3 in the queue" in lines[0]


def test_a_running_task_shows_both_bars() -> None:
    headline, overall, node = drawn(view(task(TaskState.RUNNING), executing(0.62, step=12)))
    assert "t1  running on gpu-1/comfyui-0" in headline
    assert "overall" in overall
    assert "62 % 4/7 graph nodes  30 s left" in overall
    assert "KSampler [3]" in node
    assert "60 % step 12/20" in node


def test_the_time_left_runs_down_between_events() -> None:
    seen = view(task(TaskState.RUNNING), executing(0.62))
    assert "20 s left" in drawn(seen, NOW + 10)[1]
    assert "1 s left" in drawn(seen, NOW + 1000)[1]


def test_a_graph_node_without_steps_has_a_bar_without_figures() -> None:
    assert "KSampler [3]" in drawn(view(task(TaskState.RUNNING), executing(0.3)))[2]


def test_the_end_is_drawn_full_and_without_a_graph_node() -> None:
    lines = drawn(view(task(TaskState.RUNNING), executing(0.95), task(TaskState.SUCCEEDED)))
    assert "✓ t1  succeeded" in lines[0]
    assert "100 % 7/7 graph nodes" in lines[1]
    assert len(lines) == 2


def test_a_new_attempt_begins_without_the_old_progress() -> None:
    seen = view(task(TaskState.RUNNING), executing(0.9), task(TaskState.RUNNING, attempt=2))
    assert seen.progress is None
    assert sentence(seen) == "running on gpu-1/comfyui-0, attempt 2"


def test_phases_around_the_execution_are_named() -> None:
    storing = Progressed(Progress(attempt=1, phase=Phase.STORING, fraction=1.0))
    assert sentence(view(task(TaskState.RUNNING), storing)) == "storing outputs on gpu-1/comfyui-0"


def test_hostile_words_do_not_reach_the_terminal() -> None:
    evil = task(TaskState.RUNNING, display_name="\x1b[2J[bold]x[/bold]\nname")
    lines = drawn(view(evil))
    assert "([bold]x[/bold] name)" in lines[0]
    assert "\x1b" not in "".join(lines)


def test_the_display_fits_narrow_and_wide_terminals() -> None:
    seen = view(task(TaskState.RUNNING), executing(0.5, step=10))
    for width in (40, 80, 300):
        assert max(len(line) for line in drawn(seen, width=width)) <= min(width, 120)


def lines_of(*events: Event) -> list[str]:
    lines = PlainLines()
    return [line for event in events if (line := lines.of(event)) is not None]


def test_each_change_of_state_has_its_line() -> None:
    events = (task(TaskState.QUEUED, attempt=0), task(TaskState.ASSIGNED), task(TaskState.RUNNING))
    assert lines_of(*events, task(TaskState.SUCCEEDED)) == [
        "t1: waiting in the queue",
        "t1: assigned to gpu-1/comfyui-0",
        "t1: running on gpu-1/comfyui-0",
        "t1: succeeded",
    ]


def test_each_tenth_has_one_line() -> None:
    lines = lines_of(task(TaskState.RUNNING), *(executing(n / 1000) for n in range(1001)))
    assert len(lines) == 1 + 10
    assert lines[1] == "t1: 10 %, KSampler [3], 30 s left"


def test_a_new_attempt_tells_its_tenths_again() -> None:
    lines = lines_of(executing(0.5, attempt=1), executing(0.5, attempt=1), executing(0.2, attempt=2))
    assert len(lines) == 2


def test_a_long_queue_makes_few_lines() -> None:
    positions = lines_of(*(waiting(position) for position in range(1000, 0, -1)))
    assert [int(line.split()[2]) for line in positions] == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1]


def test_previews_have_no_line() -> None:
    assert lines_of(PreviewArrived(Preview(1, "3", "image/jpeg", b"x"))) == []


def test_a_saved_file_is_told_with_its_size() -> None:
    artifact = LoadedArtifact(name="n", filename="a.png", data=b"x" * 2048, path=Path("out/a.png"))
    assert saved_line(artifact) == "saved out/a.png (2.0 KiB)"


def test_what_is_stored_early_is_said_and_counted_for_the_attempt_that_made_it() -> None:
    stored = ArtifactStored(Artifact("tasks/t1/artifacts/0", "a\x1b.png", size_bytes=2048), attempt=1)
    lines = PlainLines()
    assert [lines.of(event) for event in (task(TaskState.RUNNING), stored)][1] == "t1: stored a.png (2.0 KiB)"
    seen = view(task(TaskState.RUNNING), executing(0.5), stored)
    assert "1 file stored" in drawn(seen)[1]
    assert seen.after(task(TaskState.RUNNING, attempt=2), NOW).stored == 0
