"""What one invocation of the command line works with: where the server is, and how to speak to the user."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from comfymesh.client import DEFAULT_TARGET, AsyncClient, RetryPolicy, Tls

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rich.console import RenderableType

T = TypeVar("T")

_CALL_SECONDS = 30.0
"""How long a call may take. Not less than the server is waited for: the SDK counts repetitions in."""
_WIDE = 1000
"""Columns where nobody looks: pipes get whole lines."""


def _nobody(_: dict[str, str]) -> str:
    return ""


@dataclass(slots=True)
class Session:
    """Set by options of the group and of the command, the command's last.

    Attributes:
        target: Address of the server.
        connect_timeout: Seconds to go on trying a server that has never answered.
        as_json: Whether machines read the output.
        read_api_key: Answers who calls, given the environment; empty for nobody.
        tls: How the line is encrypted; False where it is not.
        allow_plaintext: Whether a key may go to another machine unencrypted.
    """

    target: str = DEFAULT_TARGET
    connect_timeout: float = 5.0
    as_json: bool = False
    read_api_key: Callable[[dict[str, str]], str] = field(default=_nobody, repr=False)
    tls: Tls | bool = False
    allow_plaintext: bool = False

    def client(self) -> AsyncClient:
        """A client of the server.

        Raises:
            click.UsageError: The API key can't be read.
            InvalidRequest: It would go to another machine unencrypted.
        """
        return AsyncClient(
            self.target,
            timeout=max(_CALL_SECONDS, self.connect_timeout),
            retries=RetryPolicy(connect_timeout=self.connect_timeout),
            api_key=self.read_api_key(dict(os.environ)),
            tls=self.tls,
            allow_plaintext=self.allow_plaintext,
        )

    def call(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """Does something with a client, and closes it."""

        async def main() -> T:
            async with self.client() as client:
                return await work(client)

        return asyncio.run(main())

    @property
    def console(self) -> Console:
        """Standard output."""
        return _console(stderr=False)

    def show(self, found: RenderableType) -> None:
        """Prints what was found. A line that is too long is left for the terminal to fold."""
        self.console.print(found, crop=False)

    @property
    def live(self) -> bool:
        """Whether standard output is a terminal that can redraw."""
        console = self.console
        return not self.as_json and console.is_terminal and not console.is_dumb_terminal

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to be asked."""
        return not self.as_json and sys.stdin.isatty() and sys.stdout.isatty()


def error_console() -> Console:
    """Standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console
