"""The command line as users run it: a process of its own, with and without a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRAPH = '{"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}'
WITH_TERMINAL = """\
import os, sys
os.setsid()
os.close(os.open(os.ttyname(0), os.O_RDWR))  # the first terminal that a session leader opens becomes its own
os.execv(sys.argv[1], sys.argv[1:])
"""
COMMAND = [sys.executable, "-m", "comfymesh.cli"]
Comfymesh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(server: str) -> dict[str, str]:
    # As users have it: gRPC's own choice of an engine, not the one that these tests were given.
    own = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    return {**own, "COMFYMESH_TARGET": server, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}


@pytest.fixture
def comfymesh(environment: dict[str, str], tmp_path: Path) -> Comfymesh:
    (tmp_path / "graph.json").write_text(GRAPH)

    def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return call


@dataclass
class Terminal:
    """A process with a terminal of its own."""

    process: subprocess.Popen[bytes]
    screen: int
    seen: str = ""
    all: str = ""

    @property
    def echoes(self) -> bool:
        """Whether it shows what is typed."""
        return bool(termios.tcgetattr(self.screen)[3] & termios.ECHO)

    def take(self, data: bytes) -> None:
        self.seen += data.decode(errors="replace")
        self.all += data.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        while text not in self.seen:
            self.take(os.read(self.screen, 65536))
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def send(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def ends(self) -> int:
        with contextlib.suppress(OSError):  # how a terminal without a process ends on Linux
            while data := os.read(self.screen, 65536):
                self.take(data)
        return self.process.wait(10)


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    (tmp_path / "graph.json").write_text(GRAPH)
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **other: str) -> Terminal:
            screen, inside = pty.openpty()
            stack.callback(os.close, screen)
            process = subprocess.Popen(
                [sys.executable, "-c", WITH_TERMINAL, *COMMAND, *arguments],
                cwd=tmp_path,
                env=environment | other,
                stdin=inside,
                stdout=inside,
                stderr=inside,
            )
            fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 1000, 800))
            os.close(inside)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Terminal(process, screen)

        yield start


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_run_tells_its_progress_in_lines_and_saves_the_files(comfymesh: Comfymesh, tmp_path: Path) -> None:
    done = comfymesh("run", "graph.json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:5] == [
        "t1: waiting in the queue",
        "t1: position 3 in the queue",
        "t1: position 1 in the queue",
        "t1: assigned",
        "t1: running on gpu-1/comfyui-0",
    ]
    assert lines[5:7] == ["t1: stored a.png (2.0 KiB)", "t1: 10 %, KSampler [3], step 2/20, 18 s left"]
    assert lines[-2:] == ["t1: succeeded", "saved out/ComfyUI_00001_.png (1.2 MiB)"]
    assert lines.count("t1: stored b.png (2.0 KiB)") == 1, lines
    assert len(lines) == 5 + 2 + 9 + 2
    assert (tmp_path / "out" / "ComfyUI_00001_.png").stat().st_size > 1_000_000


def test_json_is_one_value_a_line(comfymesh: Comfymesh) -> None:
    done = comfymesh("run", "graph.json", "--json", "--out", "x")
    events = json_lines(done.stdout)
    states = [event["task"]["state"] for event in events if event["event"] == "task"]
    assert states == ["QUEUED", "ASSIGNED", "RUNNING", "SUCCEEDED"]
    assert events[-1]["event"] == "saved"
    assert events[-1]["artifact"]["path"] == "x/ComfyUI_00001_.png"


@pytest.mark.parametrize("server", [["../../evil.png", "/tmp/evil.png", "..", "\x1b[31m.png"]], indirect=True)
def test_hostile_names_stay_in_the_directory(comfymesh: Comfymesh, tmp_path: Path) -> None:
    done = comfymesh("run", "graph.json", "--out", "deep/out")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    saved = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    names = {"evil.png", "evil-1.png", "artifact", "[31m.png"}
    assert saved == {"graph.json", *(f"deep/out/{name}" for name in names)}


@pytest.mark.parametrize(("name", "code"), [("fails", 1), ("cancelled", 3), ("expires", 5)])
def test_a_bad_end_has_its_exit_code(comfymesh: Comfymesh, name: str, code: int) -> None:
    done = comfymesh("run", "graph.json", "--name", name)
    assert done.returncode == code
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_is_told_with_its_facts_and_what_to_do(comfymesh: Comfymesh) -> None:
    done = comfymesh("run", "graph.json", "--name", "fails")
    assert done.stderr.splitlines() == [
        "Error: tasks/t1 failed: Graph node 3 (KSampler) raised RuntimeError: mat1 and mat2 differ (NODE_EXCEPTION)",
        "  exception_type: RuntimeError",
        "  graph_node: 3",
        "What to do: `comfymesh get t1` shows ComfyUI's traceback.",
    ]
    assert "File sampler.py, line 3" in comfymesh("get", "t1").stdout


def test_every_violation_has_a_line(comfymesh: Comfymesh) -> None:
    done = comfymesh("run", "-", stdin='{"bad": {}}')
    assert done.returncode == 2
    assert done.stderr.splitlines()[:3] == [
        "Error: ComfyUI would refuse the graph. (INVALID_WORKFLOW)",
        "  graph.3.seed: 5 is too small.",
        "  graph.4.class: There is no class Foo.",
    ]


def test_an_export_of_the_canvas_gets_the_words_of_the_server(comfymesh: Comfymesh) -> None:
    done = comfymesh("submit", "-", stdin='{"nodes": []}')
    assert done.returncode == 2
    assert "Use Workflow > Export (API) and send that file." in done.stderr


def test_errors_are_json_when_asked_for(comfymesh: Comfymesh) -> None:
    done = comfymesh("get", "nope", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["error"]["reason"] == "TASK_NOT_FOUND"


def test_a_server_that_is_not_there_ends_with_4(comfymesh: Comfymesh) -> None:
    done = comfymesh("run", "graph.json", "--target", "127.0.0.1:1", "--connect-timeout", "0.1")
    assert done.returncode == 4
    assert "No ComfyMesh server answers at 127.0.0.1:1 (Connection refused). (SERVER_UNREACHABLE)" in done.stderr
    assert "comfymesh dev" in done.stderr


def test_a_server_that_does_not_speak_tls_is_told_and_nothing_of_grpcs_engine(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", "from comfymesh.cli.entry import main; main()", "--tls", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 4
    said, advice = done.stderr.splitlines()
    assert said.endswith("(it does not speak TLS). (SERVER_UNREACHABLE)")
    assert "--target" in advice


def test_a_task_can_be_submitted_followed_and_looked_at(comfymesh: Comfymesh, tmp_path: Path) -> None:
    name = comfymesh("run", "graph.json", "--detach").stdout.strip()
    assert name == "t1"
    watched = comfymesh("watch", name, "--out", "late")
    assert watched.returncode == 0
    assert (tmp_path / "late" / "ComfyUI_00001_.png").exists()
    assert [task["state"] for task in json_lines(comfymesh("list", "--json").stdout)] == ["SUCCEEDED"]
    assert "t1" in comfymesh("list").stdout
    assert "ComfyUI_00001_.png (1.2 MiB, image/png, graph node 9)" in comfymesh("get", name).stdout
    assert "NVIDIA H200" in comfymesh("nodes").stdout


def test_cancel_says_how_the_task_stands(comfymesh: Comfymesh) -> None:
    comfymesh("submit", "graph.json", "--name", "hangs")
    assert comfymesh("cancel", "t1", "--reason", "enough").stdout == "t1: cancelling\n"
    assert comfymesh("watch", "t1").returncode == 3


def test_inputs_reach_the_task(comfymesh: Comfymesh, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"png")
    done = comfymesh(
        "run", "graph.json", "--set", "3.inputs.seed=18446744073709551615", "--input", "1.image=@photo.png"
    )
    assert done.returncode == 0


def test_an_out_that_is_a_file_is_refused_at_once(comfymesh: Comfymesh) -> None:
    done = comfymesh("run", "graph.json", "--out", "graph.json")
    assert done.returncode == 2
    assert done.stdout == ""


def test_without_a_terminal_ctrl_c_detaches(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text(GRAPH)
    command = [*COMMAND, "run", "graph.json", "--name", "hangs"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "40 %" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Detached; t1 goes on without you." in stderr
    assert "comfymesh watch t1 --out out" in stderr
    assert "Traceback" not in stderr


def test_a_terminal_shows_live_progress(terminal: Callable[..., Terminal], comfymesh: Comfymesh) -> None:
    live = terminal("run", "graph.json", "--name", "stepwise")
    live.wait_for("position 3 in the queue")
    assert comfymesh("get", "t1").returncode == 0  # It goes on once it is asked for.
    live.wait_for("overall")
    live.wait_for("KSampler [3]")
    live.wait_for("/20")
    assert comfymesh("get", "t1").returncode == 0
    assert live.ends() == 0
    assert "succeeded" in live.seen
    assert "saved out/ComfyUI_00001_.png (1.2 MiB)" in live.seen


def test_ctrl_c_on_a_terminal_can_keep_watching_and_cancel(terminal: Callable[..., Terminal]) -> None:
    live = terminal("run", "graph.json", "--name", "hangs")
    live.wait_for("step 8/20")
    live.send("\x03")
    live.wait_for("[k]eep watching?")
    live.send("k\r")
    live.wait_for("step 8/20")
    live.send("\x03")
    live.wait_for("[k]eep watching?")
    live.send("c\r")
    assert live.ends() == 3
    assert "Cancelled by its owner." in live.seen


@pytest.mark.parametrize("answer", ["d\r", "\r"])
def test_ctrl_c_on_a_terminal_can_detach(terminal: Callable[..., Terminal], answer: str) -> None:
    live = terminal("run", "graph.json", "--name", "hangs")
    live.wait_for("step 8/20")
    live.send("\x03")
    live.wait_for("[k]eep watching?")
    live.send(answer)
    assert live.ends() == 130
    assert "comfymesh watch t1 --out out" in live.seen


def test_a_terminal_is_left_clean_when_the_graph_is_refused(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"bad": {}}')
    live = terminal("run", "bad.json")
    assert live.ends() == 2
    assert "INVALID_WORKFLOW" in live.seen
    assert "\x1b[2K" in live.seen, "the line about sending is wiped"


COLOURED = {"NO_COLOR": "", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
NOT_SAID = ("TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "TMUX", "STY", "ZELLIJ", "SSH_CONNECTION", "SSH_TTY")
QUESTION = "\x1b[c"
BLOCK = "\x1b[38;2;255;0;0;48;2;255;0;0m▀"


@pytest.fixture
def previewing(terminal: Callable[..., Terminal]) -> Callable[..., Terminal]:
    def start(*arguments: str, **said: str) -> Terminal:
        environment = COLOURED | dict.fromkeys(NOT_SAID, "") | said
        return terminal("run", "graph.json", "--name", "hangs", *arguments, **environment)

    return start


def detach(live: Terminal, ending: str = "") -> None:
    live.send("\x03")
    live.wait_for(ending)
    live.wait_for("[k]eep watching?")
    live.send("d\r")
    assert live.ends() == 130


@pytest.mark.parametrize(
    ("arguments", "said", "begins", "ends"),
    [
        ([], {"TERM": "xterm-kitty"}, "\x1b_Ga=T,f=100,", "\x1b_Ga=d,d=I,"),
        ([], {"COMFYMESH_PREVIEW": "iterm"}, "\x1b]1337;File=", "\x1b[J"),
        (["--preview", "blocks"], {"TERM": "xterm-kitty", "COMFYMESH_PREVIEW": "iterm"}, BLOCK, "\x1b[J"),
    ],
)
def test_a_terminal_shows_the_preview_and_has_it_taken_away(
    previewing: Callable[..., Terminal], arguments: list[str], said: dict[str, str], begins: str, ends: str
) -> None:
    live = previewing(*arguments, **said)
    live.wait_for(begins)
    live.wait_for("step 8/20")
    detach(live, ends)
    assert QUESTION not in live.all


@pytest.mark.parametrize(
    ("answer", "begins"), [("\x1b[?62;4;22c", "\x1bP0;1q"), ("\x1b[?62;14;24c", BLOCK), ("", BLOCK)]
)
def test_a_terminal_is_asked_for_sixel_and_its_answer_is_not_shown(
    previewing: Callable[..., Terminal], answer: str, begins: str
) -> None:
    live = previewing()
    live.wait_for(QUESTION)
    live.send(answer)
    live.wait_for(begins)
    detach(live)
    assert "62;" not in live.all
    assert live.echoes, "the terminal is left as it was found"


def test_a_terminal_with_something_typed_ahead_is_not_asked(previewing: Callable[..., Terminal]) -> None:
    live = previewing()
    live.send("typed")
    live.wait_for(BLOCK)
    detach(live)
    assert QUESTION not in live.all


def test_where_no_preview_is_wanted_nothing_is_asked(previewing: Callable[..., Terminal]) -> None:
    live = previewing(COMFYMESH_PREVIEW="none")
    live.wait_for("step 8/20")
    detach(live)
    assert QUESTION not in live.all
    assert BLOCK not in live.all
