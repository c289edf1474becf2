"""Commands for the operator of a host: `comfymesh-agent check`, `reload` and `remove-instances`.

Run by root, they read the settings that only root may read, and then go on as the agent's own user.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError

from comfymesh.agent.checks import findings
from comfymesh.agent.checks.everything import check
from comfymesh.agent.checks.findings import Finding, failed, ok, warning
from comfymesh.agent.reload import Refused, read_settings
from comfymesh.agent.reload_command import reload
from comfymesh.agent.removal import remove_instances
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.settings_file import SettingsFileError, parse
from comfymesh.runtime.errors import EXIT_CONFIGURATION
from comfymesh.runtime.service import problems
from comfymesh.runtime.strangers import strangers

CHECK = "check"
REMOVE_INSTANCES = "remove-instances"
RELOAD = "reload"
NAMES = frozenset({CHECK, REMOVE_INSTANCES, RELOAD})

SETTINGS_FILE = Path("/etc/comfymesh/agent.env")
USER = "comfymesh"


def run(arguments: Sequence[str]) -> int:
    """Run a command; answers the exit code: 0, 1 (something failed), 78 (the settings are wrong)."""
    flags = _parser().parse_args(arguments)
    if flags.command == RELOAD:
        return _reload(flags.settings or SETTINGS_FILE, flags)
    settings, found = _settings(flags.settings)
    if settings is None:
        _tell(found, as_json=flags.json)
        return EXIT_CONFIGURATION
    _become(flags.user)
    if flags.command == REMOVE_INSTANCES:
        return 0 if asyncio.run(remove_instances(settings)) else findings.EXIT_FAILED
    logging.disable()  # what is found is told once, by us
    found += asyncio.run(check(settings))
    _tell(found, as_json=flags.json)
    return findings.exit_code(found)


def _reload(file: Path, flags: argparse.Namespace) -> int:
    tried = f"read the settings in {file}"
    if flags.pid is None:
        raise SystemExit("comfymesh-agent reload: name the agent's process with --pid")
    try:
        text = file.read_text()
        settings = read_settings(text)
    except (OSError, Refused) as error:
        words = error.problems if isinstance(error, Refused) else [str(error)]
        mend = "correct it, see docs/configuration.md; the old settings hold"
        _tell([failed("settings", tried, word, mend) for word in words], as_json=flags.json)
        return EXIT_CONFIGURATION
    _become(flags.user)
    found = [*_strange(tried, parse(text)), *reload(text, settings, flags.pid)]
    _tell(found, as_json=flags.json)
    return findings.exit_code(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="comfymesh-agent", description="Without a command, the agent runs.")
    parser.add_argument("command", choices=sorted(NAMES))
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    parser.add_argument(
        "--settings", type=Path, help=f"file of NAME=VALUE lines (default: {SETTINGS_FILE}, where there is one)"
    )
    parser.add_argument("--pid", type=int, help="process id of the agent that is to read its settings again")
    parser.add_argument("--user", help=f"go on as this user (default: {USER}, where root runs this)")
    return parser


def _tell(found: Sequence[Finding], *, as_json: bool) -> None:
    print(findings.as_json(found) if as_json else findings.as_text(found))  # noqa: T201  # the command's answer


def _settings(file: Path | None) -> tuple[AgentSettings | None, list[Finding]]:
    """The settings as the agent would have them, and what is to be said of them."""
    tried = "read the settings in the environment"
    try:
        if file is None and SETTINGS_FILE.exists():
            file = SETTINGS_FILE
        if file is not None:
            tried = f"read the settings in {file}"
            os.environ.update(parse(file.read_text()))
        return AgentSettings(), [ok("settings", tried, "they are in order"), *_strange(tried, os.environ)]
    except (OSError, SettingsFileError) as error:
        return None, [failed("settings", tried, str(error), "run this as root, or correct the file")]
    except (ValidationError, SettingsError) as error:
        return None, [
            failed("settings", tried, text, "correct it, see docs/configuration.md")
            for text in problems(error, AgentSettings)
        ]


def _strange(tried: str, variables: Mapping[str, str]) -> list[Finding]:
    return [warning("settings", tried, line, "correct its name, or remove it") for line in strangers(variables)]


def _become(user: str | None) -> None:
    """Go on with the rights of the agent, not with those of root."""
    if os.geteuid() != 0:
        return
    try:
        account = pwd.getpwnam(user or USER)
    except KeyError:
        if user is None:
            return  # not installed here: whoever runs this is who runs the agent
        raise SystemExit(f"comfymesh-agent: there is no user {user}") from None
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
