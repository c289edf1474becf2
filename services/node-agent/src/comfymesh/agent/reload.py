"""Reads the settings again while the agent runs, on SIGHUP."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError

from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.settings_change import Change, change
from comfymesh.agent.settings_file import SettingsFileError, parse
from comfymesh.runtime.service import problems

logger = logging.getLogger(__name__)

_PREFIX = "COMFYMESH_"


class Refused(Exception):  # noqa: N818  # a verdict on a file
    """The file is no settings; the old ones hold. Each of `problems` says what is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_settings(text: str) -> AgentSettings:
    """The settings in a file. What it does not name has its default, whatever the environment of this process says.

    Raises:
        Refused: it is not in order.
    """
    try:
        with _environment(parse(text)):
            return AgentSettings()
    except SettingsFileError as error:
        raise Refused([str(error)]) from None
    except (ValidationError, SettingsError) as error:
        raise Refused(problems(error, AgentSettings)) from None


def answer_file(settings: AgentSettings) -> Path:
    """Where the agent says what became of the settings that it has read."""
    return settings.agent_reload_file.with_suffix(".answer")


class Reloading:
    """Takes over new settings.

    Args:
        settings: Those that hold now.
        follow: Told of others that hold from now on.

    Attributes:
        settings: Those that hold now.
    """

    def __init__(self, settings: AgentSettings, follow: Callable[[AgentSettings], None]) -> None:
        self.settings = settings
        self._follow = follow

    async def run(self, asked: asyncio.Event) -> None:
        """Read them whenever `asked` is set, for ever."""
        while True:
            await asked.wait()
            asked.clear()
            self.read()

    def read(self) -> None:
        """Read them now, and say what became of them, in the log and in the answer file."""
        try:
            changed = change(self.settings, read_settings(self.settings.agent_reload_file.read_text()))
        except (OSError, Refused) as error:
            words = error.problems if isinstance(error, Refused) else [str(error)]
            self._refuse(words)
        else:
            self._take_over(changed)

    def _refuse(self, words: list[str]) -> None:
        what = "the new settings are refused, and the old ones kept: %s"
        logger.error(what, "; ".join(words), extra=_fields("refused"))
        self._answer({"refused": words})

    def _take_over(self, changed: Change) -> None:
        self.settings = changed.settings
        logging.getLogger().setLevel(changed.settings.log_level.upper())
        self._follow(changed.settings)
        logger.info("new settings hold: %s", ", ".join(changed.applied) or "none differs", extra=_fields("read"))
        if changed.waiting:
            words = ", ".join(changed.waiting)
            logger.warning("these hold once the agent is started again: %s", words, extra=_fields("wait"))
        self._answer({"applied": changed.applied, "waiting": changed.waiting})

    def _answer(self, answer: Mapping[str, object]) -> None:
        path = answer_file(self.settings)
        try:
            draft = path.with_suffix(".new")
            draft.write_text(json.dumps(answer))
            draft.replace(path)
        except OSError as error:
            logger.debug("nobody can be answered: %s", error)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The environment with these settings and no others. Nothing else reads settings meanwhile: nothing is awaited."""
    before, new = _ours(os.environ), _ours(variables)
    _exchange(before, new)
    try:
        yield
    finally:
        _exchange(new, before)


def _ours(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.upper().startswith(_PREFIX)}


def _exchange(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in old:
        os.environ.pop(name, None)
    os.environ.update(new)


def _fields(what: str) -> dict[str, str]:
    return {"action": f"settings_{what}"}
