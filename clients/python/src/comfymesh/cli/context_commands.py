"""Commands that see to contexts: context set, use, list, delete; and the option that chooses one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from comfymesh.cli import contexts
from comfymesh.cli.columns import PlainTable
from comfymesh.cli.contexts import ContextsError
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.session import Session
from comfymesh.cli.terminals import MODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from click.shell_completion import CompletionItem

T = TypeVar("T")

_HELP = """Name servers, and choose among them.

A context holds a target, the file of an API key, how the line is protected and how previews are shown. What is given on
the command line or in the environment wins over it.

\b
Examples:
  comfymesh context set prod --target mesh.example:7700 --api-key @~/keys/prod --tls
  comfymesh context use prod
  comfymesh --context staging list
"""

_SET_HELP = """Make a context, or change what is given of one.

\b
Examples:
  comfymesh context set prod --target mesh.example:7700 --api-key @~/keys/prod --tls
  comfymesh context set prod --tls-ca ca.pem
"""

_USE_HELP = """Have a context hold where none is named; - for none.

\b
Examples:
  comfymesh context use prod
  comfymesh context use -
"""

_LIST_HELP = """List contexts. The star marks the one that holds.

\b
Examples:
  comfymesh context list
  comfymesh context list --json
"""

_DELETE_HELP = """Forget contexts. Files with keys stay where they are.

\b
Examples:
  comfymesh context delete staging
"""

_FOLLOWING = ("run", "watch")
"""Commands that show previews."""
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON lines, for machines.")


def context_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--context`, whose settings stand in for the options that are not given."""
    return click.option(
        "--context",
        envvar="COMFYMESH_CONTEXT",
        metavar="NAME",
        is_eager=True,
        expose_value=False,
        callback=_choose,
        shell_complete=_complete,
        help="A server named with `comfymesh context set`.  [env: COMFYMESH_CONTEXT]",
    )(command)


def _choose(ctx: click.Context, param: click.Parameter, name: str | None) -> None:
    del param
    if ctx.resilient_parsing:
        return
    known = _load()
    if name or known.current:
        settings = dict(_checked(lambda: known.settings(name or known.current)))
        if os.environ.get("COMFYMESH_API_KEY"):
            settings.pop("api_key", None)
        below = {name: {"preview": preview} for name in _FOLLOWING} if (preview := settings.pop("preview", "")) else {}
        ctx.default_map = {**(ctx.default_map or {}), **settings, **below}


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415  # only shells that complete need it

    del ctx, param
    return [CompletionItem(name) for name in sorted(_load().named) if name.startswith(incomplete)]


@click.group(help=_HELP, short_help="Name servers, and choose among them.")
def context() -> None:  # noqa: D103
    pass


@context.command("set", help=_SET_HELP, short_help="Make or change one.")
@click.argument("name")
@click.option("--target", metavar="HOST:PORT", help="Address of the server.")
@click.option("--api-key", metavar="@FILE", help="File with an API key or JWT.")
@click.option("--tls/--no-tls", default=None, help="Encrypt the line.")
@click.option("--tls-ca", metavar="FILE", help="Who signs the server's certificate; implies --tls.")
@click.option("--tls-certificate", metavar="FILE", help="Our certificate; implies --tls.")
@click.option("--tls-key", metavar="FILE", help="Its private key.")
@click.option("--allow-plaintext/--no-allow-plaintext", default=None, help="Accept that the key goes unencrypted.")
@click.option("--preview", type=click.Choice(MODES), help="How `run` and `watch` show the work in progress.")
@_JSON
def set_context(name: str, as_json: bool, **given: str | bool | None) -> None:  # noqa: D103, FBT001
    if name == "-":
        raise click.UsageError("A context can't be named -, which stands for none.")
    known = _load()
    settings = known.named.setdefault(name, {})
    settings |= {option: _kept(option, value) for option, value in given.items() if value is not None}
    _checked(known.save)
    _show(known, [name], as_json=as_json)


@context.command("use", help=_USE_HELP, short_help="Choose one.")
@click.argument("name", shell_complete=_complete)
@_JSON
def use(name: str, as_json: bool) -> None:  # noqa: D103, FBT001
    known = _load()
    if name != "-":
        _checked(lambda: known.settings(name))
    known.current = "" if name == "-" else name
    _checked(known.save)
    _show(known, [name] if known.current else [], as_json=as_json)


@context.command("list", help=_LIST_HELP, short_help="List them.")
@_JSON
def list_contexts(as_json: bool) -> None:  # noqa: D103, FBT001
    known = _load()
    _show(known, sorted(known.named), as_json=as_json)
    if not known.named and not as_json:
        click.echo(f"There are none in {known.path}; `comfymesh context set NAME` makes one.", err=True)


@context.command("delete", help=_DELETE_HELP, short_help="Forget them.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_complete)
@_JSON
def delete(names: tuple[str, ...], as_json: bool) -> None:  # noqa: D103, FBT001
    known = _load()
    for name in names:
        _checked(lambda name=name: known.remove(name))  # type: ignore[misc]  # bound now, not when it is called
    _checked(known.save)
    for name in names:
        click.echo(line({"deleted": name}) if as_json else f"{name}: deleted")


def _kept(option: str, value: str | bool) -> str | bool:  # noqa: FBT001
    """Files by their whole path: the context is used from other folders as well."""
    if option == "target" and isinstance(value, str) and "@" in value:
        raise click.UsageError(
            "--target takes HOST:PORT, without a name or a password: a key goes into --api-key @FILE."
        )
    if option == "api_key" and isinstance(value, str):
        if not value.startswith("@"):
            raise click.UsageError("--api-key takes @FILE: a context holds no key itself.")
        return f"@{Path(value[1:]).expanduser().resolve()}"
    if option.startswith("tls_") and isinstance(value, str):
        return str(Path(value).expanduser().resolve())
    return value


def _show(known: contexts.Contexts, names: list[str], *, as_json: bool) -> None:
    if as_json:
        for name in names:
            click.echo(line({"name": name, "current": name == known.current, **_plain(known.named[name])}))
        return
    table = PlainTable("", "NAME", "TARGET", "API KEY", "TLS")
    for name in names:
        told = known.named[name]
        mark = "*" if name == known.current else ""
        secured = told.get("tls") or any(option.startswith("tls_") for option in told)
        table.add_row(
            mark, name, str(told.get("target", "-")), str(told.get("api_key", "-")), "yes" if secured else "no"
        )
    if names:
        Session().console.print(table)


def _plain(settings: contexts.Settings) -> dict[str, Any]:
    return {name: plain(value) for name, value in settings.items()}


def _load() -> contexts.Contexts:
    return _checked(lambda: contexts.load(contexts.default_path(os.environ)))


def _checked(work: Callable[[], T]) -> T:
    try:
        return work()
    except ContextsError as error:
        raise click.UsageError(str(error)) from error
