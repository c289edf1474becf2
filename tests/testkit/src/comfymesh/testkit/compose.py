"""A mesh of compose.yaml, and what docs/operations.md says to do with it. The only module that knows Compose."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from comfymesh.testkit import pages

ROOT = Path(__file__).parents[5]

_SECONDS = 240
_LABELS = "com.docker.compose"
_STILL_THERE = "has active endpoints"


def blocks() -> list[str]:
    """The blocks of commands that the docs have on Compose, in order, as scripts."""
    return pages.blocks("operations.md", "With compose")


@dataclass(frozen=True)
class Project:
    """One mesh in containers, and a caller of it.

    Attributes:
        name: Of the Compose project.
        program: `docker compose`, or docker-compose.
        settings: What is set in the environment.
        target: The api, as callers know it.
        options: What Compose is given before its command.
        services: What is brought up; the names of all where some can't be had here.
    """

    name: str
    program: Sequence[str]
    settings: Mapping[str, str]
    target: str
    options: Sequence[str] = ()
    services: Sequence[str] = field(default_factory=tuple)

    def compose(self, *arguments: str) -> str:
        """Run Compose; return what it prints."""
        return self._ran([*self._program, *self.options, *arguments], ROOT)

    def follow(self, script: str, folder: Path) -> str:
        """Do what a script of the docs says, in a folder that looks like a checkout; return what it prints."""
        for name in ("deploy", "examples", "compose.yaml"):
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        return self._ran(["bash", "-euo", "pipefail", "-c", f"{self._reader()}\n{script}"], folder)

    def call(self, *arguments: str) -> str:
        """Run the command line; return what it prints."""
        command = [sys.executable, "-m", "comfymesh.cli", *arguments]
        return self._ran([*command, "--target", self.target, "--connect-timeout", "120"], ROOT)

    def end(self, down: Callable[[], str]) -> None:
        """Take it away, by `down`. The engine may count a container's endpoint for a moment after the container."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                down()
            except AssertionError as error:
                if _STILL_THERE not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def label(self, service: str) -> list[str]:
        """Labels of a service's container."""
        return [f"{_LABELS}.project={self.name}", f"{_LABELS}.service={service}"]

    @property
    def _program(self) -> list[str]:
        return [*self.program, "--project-name", self.name, "--file", str(ROOT / "compose.yaml")]

    def _reader(self) -> str:
        """How whoever follows the docs has the programs: `docker compose` as this project, and `comfymesh`."""
        compose, services = shlex.join(self._program), shlex.join(self.services)
        cli = shlex.join([sys.executable, "-m", "comfymesh.cli"])
        return (
            f'docker() {{ shift; case "$*" in *" up -d"|"up -d") set -- "$@" {services};; esac;'
            f' command {compose} "$@"; }}\n'
            f'comfymesh() {{ command {cli} "$@" --target {shlex.quote(self.target)} --connect-timeout 120; }}'
        )

    def _ran(self, command: Sequence[str], folder: Path) -> str:
        environment = os.environ | dict(self.settings)
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, env=environment, timeout=_SECONDS
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
