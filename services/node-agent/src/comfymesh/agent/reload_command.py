"""`comfymesh-agent reload`: has a running agent read its settings again, and says what came of it."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from comfymesh.agent.checks.findings import Finding, failed, ok, warning
from comfymesh.agent.reload import answer_file
from comfymesh.agent.settings import AgentSettings

_ANSWER_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_TRIED = "have the agent read its settings again"


def reload(text: str, settings: AgentSettings, pid: int, seconds: float = _ANSWER_SECONDS) -> list[Finding]:
    """Bring an agent its settings, and wait for what it makes of them.

    Args:
        text: The settings, as their file has them.
        settings: What they say.
        pid: The agent's process.
        seconds: How long it may take to answer.
    """
    answer = answer_file(settings)
    try:
        answer.unlink(missing_ok=True)
        _write(settings.agent_reload_file, text)
        os.kill(pid, signal.SIGHUP)
        told = _wait(answer, seconds)
    except (OSError, ValueError) as error:
        return [failed("reload", _TRIED, str(error), "see `journalctl --unit comfymesh-agent`, or start it again")]
    finally:
        settings.agent_reload_file.unlink(missing_ok=True)
    return _judge(told)


def _write(path: Path, text: str) -> None:
    """Nobody else may read it: it may hold a password."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # of mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(draft).replace(path)


def _wait(answer: Path, seconds: float) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while not answer.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"the agent has not answered within {seconds:g} s")
        time.sleep(_LOOK_SECONDS)
    told = json.loads(answer.read_text())
    answer.unlink(missing_ok=True)
    if not isinstance(told, dict):
        raise ValueError(f"{answer} holds no answer")  # noqa: TRY004  # a value of the wrong kind, not a type error
    return told


def _judge(told: dict[str, Any]) -> list[Finding]:
    if refused := told.get("refused"):
        return [failed("reload", _TRIED, f"refused: {words}", "correct it; the old settings hold") for words in refused]
    applied = ", ".join(told.get("applied", ())) or "nothing differs"
    found = [ok("reload", _TRIED, f"these hold now: {applied}")]
    if waiting := told.get("waiting"):
        found.append(warning("reload", _TRIED, f"not yet: {', '.join(waiting)}", "start the agent again"))
    return found
