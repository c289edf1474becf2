"""How a service's process runs: settings, logs, signals, an orderly stop, and an exit status that means something."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from comfymesh.runtime import eventloop, logs, supervisor
from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError
from comfymesh.runtime.health_file import showing
from comfymesh.runtime.secret_files import SecretFileError
from comfymesh.runtime.settings import ServiceSettings, may_be_secret
from comfymesh.runtime.strangers import strangers
from comfymesh.runtime.validation import said
from comfymesh.telemetry import sampling, setup

__all__ = ["ServiceFailedError", "StoppedError", "first", "problems", "run", "unless_stopped", "until"]

logger = logging.getLogger(__name__)

_CANCEL_AGAIN_SECONDS = 0.2
_MOST_SHOWN = 60
"""Characters of a value that is told."""

S = TypeVar("S", bound=ServiceSettings)
T = TypeVar("T")


class StoppedError(Exception):
    """The stop was asked for while the service was still starting."""


async def unless_stopped(stop: asyncio.Event, starting: Coroutine[Any, Any, T]) -> T:
    """What `starting` answers; gives it up with StoppedError when `stop` is set first."""
    task = asyncio.ensure_future(starting)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        while not task.done():
            # Once may not be enough: before Python 3.12, asyncio.wait_for can lose a cancellation.
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_AGAIN_SECONDS)
        await asyncio.gather(task, return_exceptions=True)
        raise StoppedError
    return await task


async def until(stop: asyncio.Event, *failed: asyncio.Event) -> None:
    """Wait until the service should stop.

    Raises:
        ServiceFailedError: a part of it failed and was logged.
    """
    await _any(stop, *failed)
    if any(event.is_set() for event in failed):
        raise ServiceFailedError("a part of the service failed, see above; it has to be started again")


async def first(ready: asyncio.Event, stop: asyncio.Event, failed: asyncio.Event) -> None:
    """Wait until a part of the service that is starting is `ready`.

    Raises:
        ServiceFailedError: it, or another part, failed instead, and was logged.
        StoppedError: the stop was asked for meanwhile.
    """
    await _any(ready, stop, failed)
    if failed.is_set():
        raise ServiceFailedError("a part of the service failed while it started, see above; it has to be started again")
    if not ready.is_set():
        raise StoppedError


async def _any(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def run(
    name: str,
    settings_type: type[S],
    serve: Callable[[S, asyncio.Event], Awaitable[None]],
    parts: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Run a service until SIGTERM or SIGINT, then let it finish, and exit.

    Args:
        name: The service's name, for logs and telemetry.
        settings_type: Its settings; read from the environment.
        serve: Runs it. Is handed an event that is set when it should stop; returns when it has stopped.
        parts: What must say `HEALTH.well` for the service to be well, and for how many seconds each may be silent.
    """
    try:
        settings = settings_type()
    except (ValidationError, SettingsError) as error:
        told = problems(error, settings_type)
        print(f"{name}: the settings are wrong:", *told, sep="\n  ", file=sys.stderr)  # noqa: T201  # no logs yet
        sys.exit(EXIT_CONFIGURATION)
    logs.set_up(name, settings.log_level, redact=settings.log_redact)
    for line in strangers(os.environ):
        logger.warning("%s", line, extra={"action": "setting_unknown"})
    # Of a process that hangs, the watchdog's SIGABRT leaves where it does.
    faulthandler.enable()
    telemetry = _telemetry(name, settings)
    try:
        eventloop.run(_shown(_serve(name, settings, serve), settings.health_file, parts))
    except ServiceFailedError as error:
        logger.critical("%s", error, extra={"action": "service_failed", "reason": error.reason})
        sys.exit(error.exit_code)
    finally:
        telemetry.stop()


def _telemetry(name: str, settings: ServiceSettings) -> setup.Telemetry:
    plan = setup.Plan(name, settings.otlp_endpoint, settings.trace_ratio, settings.metrics_listen)
    try:
        return setup.start(plan)
    except OSError as error:
        logger.critical(
            "can't show metrics on %s: %s; see COMFYMESH_METRICS_LISTEN",
            settings.metrics_listen,
            error,
            extra={"action": "service_failed", "reason": "METRICS_ADDRESS"},
        )
        sys.exit(EXIT_CONFIGURATION)


async def _shown(serving: Coroutine[Any, Any, None], health_file: str, parts: Mapping[str, float]) -> None:
    with contextlib.closing(serving):
        async with showing(health_file, parts):
            await serving


async def _serve(name: str, settings: S, serve: Callable[[S, asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    supervisor.status("starting")
    serving = asyncio.ensure_future(serve(settings, stop))
    beating = asyncio.ensure_future(supervisor.pulse())
    measuring = asyncio.ensure_future(sampling.sample_process(settings.metrics_sample_seconds))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        logger.info("%s is stopping", name, extra={"action": "stopping"})
        supervisor.stopping("stopping")
    try:
        with contextlib.suppress(StoppedError):
            await serving
    finally:
        beating.cancel()
        measuring.cancel()
    logger.info("%s has stopped", name, extra={"action": "stopped"})


def problems(error: ValidationError | SettingsError, settings_type: type[ServiceSettings]) -> list[str]:
    """What is wrong with settings, a line a setting: its name, what is allowed, its value unless that may be secret."""
    if isinstance(error, SecretFileError):
        return [str(error)]
    if isinstance(error, SettingsError):
        return [f"{error}: is it JSON?"]
    return [f"{_setting(problem['loc'])}{said(problem)}{_value(problem, settings_type)}" for problem in error.errors()]


def _setting(location: tuple[str | int, ...]) -> str:
    """The environment variable, and the place in its value where that has parts; nothing where several don't fit."""
    if not location:
        return ""
    first, *rest = location
    return f"COMFYMESH_{first}".upper() + "".join(f"[{part}]" for part in rest) + ": "


def _value(problem: ErrorDetails, settings_type: type[ServiceSettings]) -> str:
    """What was set, where anybody may see it: parts of a larger value may hold what only that one knows of."""
    match problem["loc"], problem["input"]:
        case (str(name),), str(value) if name in settings_type.model_fields:
            secret = may_be_secret(settings_type.model_fields[name])
            return "" if secret else f", not {value[:_MOST_SHOWN]!r}"
        case _:
            return ""
