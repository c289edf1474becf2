"""Contexts stand in for options that are not given, and for nothing else."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from comfymesh.cli import running
from comfymesh.cli.main import cli
from comfymesh.cli.session import Session


@click.command("who")
@click.pass_obj
def who(session: Session) -> None:
    click.echo(json.dumps([session.target, session.read_api_key({}), bool(session.tls), session.allow_plaintext]))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(cli.commands, "who", who)
    return tmp_path / "etc" / "contexts.json"


class Shell:
    """Calls the command line with a file of contexts of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *arguments: str, **env: str | None) -> Result:
        clean = dict.fromkeys(("COMFYMESH_TARGET", "COMFYMESH_API_KEY", "COMFYMESH_TLS", "COMFYMESH_CONTEXT"))
        return CliRunner().invoke(
            cli, arguments, prog_name="comfymesh", env={**clean, "COMFYMESH_CONTEXTS": str(self.path), **env}
        )

    def who(self, *options: str, **env: str | None) -> list[object]:
        result = self(*options, "who", **env)
        assert result.exit_code == 0, result.output
        answer: list[object] = json.loads(result.output)
        return answer


@pytest.fixture
def shell(path: Path) -> Shell:
    return Shell(path)


@pytest.fixture
def prod(shell: Shell, tmp_path: Path) -> str:
    key = tmp_path / "key"
    key.write_text("cmk_prod\n")
    made = shell("context", "set", "prod", "--target", "mesh.example:7700", "--api-key", f"@{key}", "--tls")
    assert made.exit_code == 0, made.output
    return "prod"


def test_without_contexts_everything_is_as_ever(shell: Shell) -> None:
    assert shell.who() == ["127.0.0.1:7700", "", False, False]


def test_a_context_is_chosen_by_name_or_by_the_environment(shell: Shell, prod: str) -> None:
    there: list[object] = ["mesh.example:7700", "cmk_prod", True, False]
    assert shell.who("--context", prod) == there
    assert shell.who(COMFYMESH_CONTEXT=prod) == there
    assert shell.who() == ["127.0.0.1:7700", "", False, False]


def test_the_current_one_holds_where_none_is_named(shell: Shell, prod: str) -> None:
    assert shell("context", "use", prod).exit_code == 0
    assert shell.who()[0] == "mesh.example:7700"
    assert shell("context", "use", "-").exit_code == 0
    assert shell.who()[0] == "127.0.0.1:7700"


def test_what_is_given_wins_over_the_environment_and_that_over_the_context(shell: Shell, prod: str) -> None:
    assert shell.who("--context", prod, COMFYMESH_TARGET="b:2")[0] == "b:2"
    assert shell.who("--context", prod, "--target", "a:1", COMFYMESH_TARGET="b:2")[0] == "a:1"
    assert shell.who("--context", prod, "--no-tls")[2] is False


def test_a_key_in_the_environment_wins_over_the_contexts(shell: Shell, prod: str) -> None:
    # `who` looks into an empty environment: what it sees can only be of the context.
    assert shell.who("--context", prod, COMFYMESH_API_KEY="cmk_other")[1] == ""


def test_a_context_is_changed_where_something_is_given(shell: Shell, prod: str) -> None:
    assert shell("context", "set", prod, "--target", "other.example:1").exit_code == 0
    assert shell.who("--context", prod) == ["other.example:1", "cmk_prod", True, False]


def test_contexts_are_listed_and_deleted(shell: Shell, prod: str) -> None:
    shell("context", "set", "dev", "--target", "127.0.0.1:7700")
    shell("context", "use", prod)
    listed = [json.loads(text) for text in shell("context", "list", "--json").output.splitlines()]
    assert [(each["name"], each["current"]) for each in listed] == [("dev", False), ("prod", True)]
    assert "mesh.example:7700" in shell("context", "list").output
    assert shell("context", "delete", prod).exit_code == 0
    assert "prod" not in shell("context", "list").output
    assert shell.who()[0] == "127.0.0.1:7700"


def test_files_are_kept_by_their_whole_path(shell: Shell, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent.parent)
    shell("context", "set", "here", "--tls-ca", "ca.pem", "--api-key", "@key")
    kept = json.loads(path.read_text())["contexts"]["here"]
    assert kept == {"tls_ca": str(path.parent.parent / "ca.pem"), "api_key": f"@{path.parent.parent / 'key'}"}


def test_only_the_owner_reads_the_file(shell: Shell, prod: str, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "cmk_" not in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--context", "nope", "who"), "There is no context 'nope'"),
        (("context", "use", "nope"), "There is no context 'nope'"),
        (("context", "delete", "nope"), "There is no context 'nope'"),
        (("context", "set", "-"), "stands for none"),
        (("context", "set", "x", "--api-key", "cmk_secret"), "holds no key itself"),
        (("context", "set", "x", "--target", "me:secret@mesh.example:7700"), "without a name or a password"),
    ],
)
def test_mistakes_are_told(shell: Shell, arguments: tuple[str, ...], why: str) -> None:
    result = shell(*arguments)
    assert result.exit_code == 2
    assert why in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"contexts": 5}', '{"contexts": {"a": {"target": 7}}}', '{"contexts": {"a": {"odd": "x"}}}']
)
def test_a_file_that_can_not_be_read_is_told_with_its_name(shell: Shell, path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    result = shell("who")
    assert result.exit_code == 2
    assert "contexts.json" in result.output


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_scripts_name_our_variable(shell: Shell, shell_name: str) -> None:
    result = shell("completion", shell_name)
    assert result.exit_code == 0
    assert "_COMFYMESH_COMPLETE" in result.output


def test_names_of_contexts_are_completed(shell: Shell, prod: str) -> None:
    asked = {"_COMFYMESH_COMPLETE": "fish_complete", "COMP_WORDS": "comfymesh context use ", "COMP_CWORD": "pr"}
    assert prod in shell(**asked).output


def test_a_context_says_how_previews_are_shown(shell: Shell, prod: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(running, "follow", lambda _session, _work, _out, preview: said.append(preview))
    assert shell("context", "set", prod, "--preview", "blocks").exit_code == 0
    watch = ("--context", prod, "watch", "t1")
    shell(*watch, COMFYMESH_PREVIEW=None)
    shell(*watch, COMFYMESH_PREVIEW="none")
    shell(*watch, "--preview", "sixel", COMFYMESH_PREVIEW="none")
    shell("--context", "-", "watch", "t1", COMFYMESH_PREVIEW=None)
    shell("watch", "t1", COMFYMESH_PREVIEW=None)
    assert said == ["blocks", "none", "sixel", "auto"]
    assert shell("context", "set", prod, "--preview", "film").exit_code == 2
