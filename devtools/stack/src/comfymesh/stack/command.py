"""The command `comfymesh dev`: the whole mesh on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import click
from pydantic import ValidationError
from pydantic_settings import SettingsError

from comfymesh.api.access import setup
from comfymesh.api.access.posture import UnsafeSettingsError
from comfymesh.api.settings import ApiSettings
from comfymesh.client import DEFAULT_TARGET
from comfymesh.notifier import rulesfile
from comfymesh.notifier.main import open_channels
from comfymesh.notifier.rulesfile import RulesError
from comfymesh.runtime.service import problems
from comfymesh.runtime.strangers import strangers
from comfymesh.stack import mesh, sources
from comfymesh.stack.ownership import MeshNotReadyError, require_address

DEFAULT_GATEWAY = "127.0.0.1:8188"
"""Where ComfyUI listens, so that its clients find the gateway without being told."""

_OPTIONS = frozenset({"COMFYMESH_API_LISTEN", "COMFYMESH_NOTIFIER_RULES"})
"""Settings that are options of the command, which heeds them."""

_EPILOG = """\b
Environment:
  COMFYUI_URL        use the ComfyUI that runs there
  COMFYUI_DIR        start ComfyUI from this folder (with COMFYUI_PYTHON and COMFYUI_ARGUMENTS)

\b
Examples:
  comfymesh dev
  COMFYUI_URL=http://127.0.0.1:8188 comfymesh dev --listen 127.0.0.1:7800
  comfymesh dev --gateway 127.0.0.1:8189
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--listen",
    default=DEFAULT_TARGET,
    show_default=True,
    envvar="COMFYMESH_API_LISTEN",
    metavar="HOST:PORT",
    help="Address of the API.  [env: COMFYMESH_API_LISTEN]",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("~/.local/state/comfymesh/dev").expanduser(),
    show_default="~/.local/state/comfymesh/dev",
    help="Folder for data and logs; kept, so that tasks survive a restart.",
)
@click.option(
    "--rules",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    envvar="COMFYMESH_NOTIFIER_RULES",
    metavar="FILE",
    help="Alert rules, such as examples/alerts.yaml; without any, nobody is told of anything.",
)
@click.option(
    "--gateway",
    is_flag=False,
    flag_value=DEFAULT_GATEWAY,
    default="",
    metavar="[HOST:PORT]",
    help=f"Let clients of ComfyUI in, at {DEFAULT_GATEWAY} where no address is given. On loopback only.",
)
def dev(listen: str, data: Path, rules: Path | None, gateway: str) -> None:
    """Run the whole mesh on this machine until Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for line in strangers(os.environ):
        click.echo(line, err=True)
    try:
        _require_rules(rules)
        _require_safe(listen, "--listen")
        if gateway:
            _require_apart(listen, gateway)
            # Whoever reaches the gateway may do what the API lets everybody do.
            _require_safe(gateway, "--gateway")
        _make(data)
        asyncio.run(_dev(replace(_plan(listen, data, rules), gateway=gateway)))
    except MeshNotReadyError as error:
        raise click.ClickException(str(error)) from error


def _require_rules(rules: Path | None) -> None:
    if rules is not None:
        try:
            open_channels(rulesfile.read(rules), str(rules))
        except RulesError as error:
            raise MeshNotReadyError(str(error)) from None


def _require_apart(listen: str, gateway: str) -> None:
    if gateway == listen and not listen.endswith(":0"):
        raise MeshNotReadyError(f"the API and the gateway can't both listen on {listen}: change one (--gateway)")


def _require_safe(address: str, option: str) -> None:
    require_address(address, option)
    try:
        setup.check(ApiSettings(api_listen=address, api_auth="open"))
    except (ValidationError, SettingsError) as error:
        raise MeshNotReadyError("; ".join(problems(error, ApiSettings))) from None
    except UnsafeSettingsError:
        raise MeshNotReadyError(
            f"`comfymesh dev` lets everybody in, and other machines can reach {address}: listen on 127.0.0.1 "
            f"({option}), or run a mesh that wants keys, with TLS (docs/operations.md), or accept it with "
            "COMFYMESH_API_ALLOW_OPEN=true and COMFYMESH_API_ALLOW_PLAINTEXT=true"
        ) from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{folder} can't be a folder for data: {error.strerror or error}") from error


def _plan(listen: str, data: Path, rules: Path | None) -> mesh.MeshPlan:
    """What to run, without its instances."""
    environment = {"COMFYMESH_NOTIFIER_LOG": str(data / "alerts.jsonl")}
    if rules is not None:
        environment["COMFYMESH_NOTIFIER_RULES"] = str(rules.absolute())
    return mesh.MeshPlan(data, [], listen, environment, notifier=True)


async def _dev(plan: mesh.MeshPlan) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await asyncio.to_thread(sources.require, os.environ)
    instance, what = sources.instance(os.environ)
    click.echo(f"Starting a mesh with {what} ...")
    serving = asyncio.create_task(_serve(replace(plan, instances=[instance])))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        click.echo("Stopping ...")
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serve(plan: mesh.MeshPlan) -> None:
    """Run a mesh until cancelled."""
    async with mesh.running(plan) as up:
        target = "" if up.target == DEFAULT_TARGET else f"--target {up.target} "
        click.echo(f"The API listens on {up.target}. Logs are in {plan.directory / 'logs'}.")
        if up.gateway:
            click.echo(f"Clients of ComfyUI are let in at http://{up.gateway}.")
        if unheeded := [name for name in up.unheeded if name not in _OPTIONS]:
            click.echo(f"Without effect here, for this mesh has its own: {', '.join(unheeded)}.", err=True)
        click.echo(f"Try:  {_program()} {target}run examples/text-to-image.json")
        click.echo("Ctrl-C stops everything.")
        await mesh.unless_refused(up.processes, _for_ever())


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _program() -> str:
    """How the command line is called here: by its name, or by its path where the shell does not find it."""
    found = shutil.which("comfymesh")
    return "comfymesh" if found else os.path.relpath(Path(sys.executable).with_name("comfymesh"))
