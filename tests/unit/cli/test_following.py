from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import click
import pytest

from comfymesh.cli import following
from comfymesh.cli.following import Choice, Listening, ask, detached, follow
from comfymesh.cli.session import Session
from comfymesh.client import DEFAULT_TARGET, LoadedArtifact, Result, Task, TaskChanged, TaskState

if TYPE_CHECKING:
    from comfymesh.client import AsyncClient

DONE = Result(
    Task("tasks/t1", TaskState.SUCCEEDED),
    (LoadedArtifact(name="tasks/t1/artifacts/a", filename="a.txt", data=b"x"),),
)


def answer(monkeypatch: pytest.MonkeyPatch, given: str | type[Exception]) -> None:
    def prompt(*_arguments: object, **_options: object) -> str:
        if isinstance(given, str):
            return given
        raise given

    monkeypatch.setattr(click, "prompt", prompt)


@pytest.mark.parametrize("choice", Choice)
def test_the_answer_is_the_choice(monkeypatch: pytest.MonkeyPatch, choice: Choice) -> None:
    answer(monkeypatch, choice.value)
    assert ask("t1") is choice


def test_a_second_ctrl_c_means_to_detach(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, click.Abort)
    assert ask("t1") is Choice.DETACH


def test_who_detaches_learns_how_to_go_on() -> None:
    words = detached("tasks/t1", DEFAULT_TARGET, None)
    assert "comfymesh watch t1 --out out\n" in words
    assert words.endswith("comfymesh cancel t1")
    words = detached("tasks/t1", "mesh.example:7700", Path("my pictures"))
    assert "comfymesh watch t1 --out 'my pictures' --target mesh.example:7700\n" in words
    assert words.endswith("comfymesh cancel t1 --target mesh.example:7700")


async def succeed(_client: AsyncClient, _listening: Listening) -> Result:
    await asyncio.sleep(0)
    return DONE


async def interrupted_early(_client: AsyncClient, _listening: Listening) -> Result:
    raise KeyboardInterrupt


async def interrupted_late(_client: AsyncClient, listening: Listening) -> Result:
    listening["on_event"](TaskChanged(Task("tasks/t1", TaskState.QUEUED)))
    raise KeyboardInterrupt


def test_without_a_directory_nothing_is_saved(capsys: pytest.CaptureFixture[str]) -> None:
    follow(Session(), succeed, None)
    assert capsys.readouterr().out == ""


def test_files_that_cannot_be_saved_end_with_1_and_say_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(click.exceptions.Exit) as caught:
        follow(Session(), succeed, blocked / "out")
    assert caught.value.exit_code == 1
    assert "comfymesh watch t1 --out ANOTHER_DIRECTORY" in capsys.readouterr().err


def test_an_interruption_before_there_is_a_task_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit) as caught:
        follow(Session(), interrupted_early, None)
    assert caught.value.exit_code == 130
    assert "before the server confirmed" in capsys.readouterr().err


def test_an_interruption_while_the_display_begins_leaves_nothing_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, work = Mock(previews=False), Mock()
    reporter.start.side_effect = KeyboardInterrupt
    monkeypatch.setattr(following, "reporter_for", lambda *_: reporter)
    with pytest.raises(click.exceptions.Exit):
        follow(Session(), work, None)
    work.assert_not_called()
    reporter.stop.assert_called_once_with()


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(following, "ask", pytest.fail)
    with pytest.raises(click.exceptions.Exit) as caught:
        follow(Session(), interrupted_late, None)
    assert caught.value.exit_code == 130
    assert "Detached; t1 goes on" in capsys.readouterr().err
