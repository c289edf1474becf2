"""Who calls, from the environment or a file: what stands on a command line can be seen by everybody on the machine."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfymesh.cli.session import Session
from comfymesh.client import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_API_KEY_HELP = (
    "File with an API key or JWT; - for standard input.  [env: COMFYMESH_API_KEY, which holds the key itself]"
)


def credentials(command: F) -> F:
    """Adds the options that say who calls and how the line is protected, and puts them into the session."""

    @click.option("--api-key", metavar="@FILE", help=_API_KEY_HELP)
    @click.option("--tls/--no-tls", envvar="COMFYMESH_TLS", help="Encrypt the line.  [env: COMFYMESH_TLS]")
    @click.option(
        "--tls-ca", envvar="COMFYMESH_TLS_CA", metavar="FILE", help="Who signs the server's certificate; implies --tls."
    )
    @click.option(
        "--tls-certificate", envvar="COMFYMESH_TLS_CERTIFICATE", metavar="FILE", help="Our certificate; implies --tls."
    )
    @click.option("--tls-key", envvar="COMFYMESH_TLS_KEY", metavar="FILE", help="Its private key.")
    @click.option(
        "--allow-plaintext",
        envvar="COMFYMESH_ALLOW_PLAINTEXT",
        is_flag=True,
        help="Accept that the key goes to another machine unencrypted.",
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as click hands them over
        session = ctx.ensure_object(Session)
        taken = {name: kwargs.pop(name) for name in ("api_key", "tls", "tls_ca", "tls_certificate", "tls_key")}
        session.allow_plaintext = kwargs.pop("allow_plaintext")
        session.read_api_key = functools.partial(api_key, taken["api_key"])
        files = (taken["tls_ca"], taken["tls_certificate"], taken["tls_key"])
        session.tls = Tls(*files) if taken["tls"] or any(files) else False
        return command(ctx, *args, **kwargs)

    return wrapped  # type: ignore[return-value]  # click calls it by keywords


def api_key(given: str | None, environment: dict[str, str]) -> str:
    """The key: of `--api-key`, or of the environment; empty where there is none.

    Raises:
        click.UsageError: The file can't be read, or the key itself stands on the command line.
    """
    if given is None:
        return environment.get("COMFYMESH_API_KEY", "").strip()
    if given == "-":
        return sys.stdin.readline().strip()
    if not given.startswith("@"):
        text = "--api-key takes @FILE or -: everybody on this machine can see the arguments of a command."
        raise click.UsageError(f"{text} A key itself goes into COMFYMESH_API_KEY.")
    try:
        return Path(given[1:]).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a key is made of ASCII characters"
        raise click.UsageError(f"--api-key: can't read {given[1:]}: {why}.") from error
