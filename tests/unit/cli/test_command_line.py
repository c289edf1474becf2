from __future__ import annotations

import errno
import io
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from comfymesh.cli import plugins
from comfymesh.cli.main import cli, main
from comfymesh.cli.session import Session
from comfymesh.client import NoFeasibleNode


def _own(group: click.Group, *path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _own(command, *path, name)
        else:
            yield " ".join((*path, name))


# A script for the shell is all that `completion` prints.
OWN = sorted(set(_own(cli)) - {"completion"})


@click.command()
@click.pass_obj
def hello(session: Session) -> None:
    """Say hello."""
    click.echo(f"hello from {session.target}")


@click.command()
def gives_up() -> None:
    metadata = {"nodes/gpu-1": "lacks the model \x1b[31mx"}
    raise NoFeasibleNode("No node can run it.", reason="NO_FEASIBLE_NODE", metadata=metadata)


@click.command()
def interrupted() -> None:
    raise KeyboardInterrupt


@click.command()
@click.pass_obj
def sign(session: Session) -> None:
    session.show("✓ good")


@click.command()
def full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


not_a_command = 5


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins, good and bad."""
    named = {
        "hello": f"{__name__}:hello",
        "gives-up": f"{__name__}:gives_up",
        "interrupted": f"{__name__}:interrupted",
        "full": f"{__name__}:full",
        "sign": f"{__name__}:sign",
        "missing": "comfymesh_no_such_module:command",
        "odd": f"{__name__}:not_a_command",
        "run": f"{__name__}:hello",
    }
    points = [EntryPoint(name, value, plugins.GROUP) for name, value in named.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == plugins.GROUP else [])
    here = {"hello": hello, "gives_up": gives_up, "interrupted": interrupted, "not_a_command": not_a_command}
    here |= {"full": full, "sign": sign}
    real = EntryPoint.load
    monkeypatch.setattr(EntryPoint, "load", lambda point: here[point.attr] if point.module == __name__ else real(point))


def invoke(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="comfymesh", env={"COMFYMESH_TARGET": None, **env})


def test_plugins_are_commands() -> None:
    assert invoke("hello").output == "hello from 127.0.0.1:7700\n"
    assert invoke("--target", "a:1", "hello").output == "hello from a:1\n"


def test_the_environment_names_the_server() -> None:
    assert invoke("hello", COMFYMESH_TARGET="b:2").output == "hello from b:2\n"
    assert invoke("--target", "a:1", "hello", COMFYMESH_TARGET="b:2").output == "hello from a:1\n"


def test_broken_plugins_spoil_nothing() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert "missing" in result.output
    assert "can't be loaded: ModuleNotFoundError" in result.output
    assert "Say hello." in result.output


@pytest.mark.parametrize(("name", "why"), [("missing", "ModuleNotFoundError"), ("odd", "is no command")])
def test_a_broken_plugin_says_why_when_it_is_called(name: str, why: str) -> None:
    result = invoke(name, "--any", "thing")
    assert result.exit_code == 1
    assert why in result.output
    assert "Traceback" not in result.output


def test_plugins_do_not_replace_own_commands() -> None:
    assert "GRAPH.json" in invoke("run", "--help").output


def test_errors_of_plugins_are_told_like_our_own() -> None:
    result = invoke("gives-up")
    assert result.exit_code == 2
    assert "No node can run it. (NO_FEASIBLE_NODE)" in result.output
    assert "nodes/gpu-1: lacks the model x" in result.output
    assert "comfymesh nodes" in result.output


def test_an_interrupted_command_ends_with_130() -> None:
    assert invoke("interrupted").exit_code == 130


@pytest.mark.parametrize(("command", "told"), [("assets list", "No assets.\n"), ("audit", "No events.\n")])
def test_where_there_is_nothing_no_empty_table_is_shown(
    command: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "call", lambda *_: [])
    result = invoke(*command.split())
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", told)


def test_output_that_can_not_be_written_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["comfymesh", "full"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Error: the output can't be written: No space left on device\n"


def test_what_a_terminal_has_no_sign_for_is_shown_as_well_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    monkeypatch.setattr(sys, "argv", ["comfymesh", "sign"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert shown.getvalue() == b"? good\n"


@pytest.mark.parametrize("command", OWN)
def test_every_command_has_help_with_examples(command: str) -> None:
    output = invoke(*command.split(), "--help").output
    assert "Examples:" in output
    assert f"comfymesh {command}" in output
    assert "--json" in output


@pytest.mark.parametrize("command", [(), ("run",), ("watch",)])
def test_exit_codes_are_in_the_help(command: tuple[str, ...]) -> None:
    assert "130  interrupted" in invoke(*command, "--help").output


@pytest.mark.parametrize(
    "arguments", [("nope",), ("run",), ("run", "g.json", "--set", "x"), ("list", "--state", "odd"), ("cancel",)]
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage: comfymesh" in result.output


def test_a_missing_graph_is_told_without_a_traceback() -> None:
    result = invoke("run", "nope.json")
    assert result.exit_code == 2
    assert result.output == "Error: The file nope.json can't be read: No such file or directory. (FILE_UNREADABLE)\n"


def test_an_option_that_goes_after_the_command_is_told_where_it_goes() -> None:
    result = invoke("--json", "list")
    assert result.exit_code == 2
    assert "No such option '--json'. It goes after the command, as in `comfymesh run --json`." in result.output
    assert "Did you mean" not in result.output
    assert "Did you mean '--target'?" in invoke("--targets", "x", "list").output


@pytest.mark.parametrize(("content", "why"), [(None, "No such file or directory"), (b"\xff", "ASCII characters")])
def test_a_key_that_can_not_be_read_is_told_in_words(content: bytes | None, why: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    result = invoke("--api-key", f"@{tmp_path / 'key'}", "list")
    assert result.exit_code == 2
    assert result.output.rstrip().endswith(f"{why}.")
    assert "Errno" not in result.output
