"""Sends messages to people through Apprise. The only module that knows it.

Apprise blocks, says yes or no, and tells why only in its log, with secrets. So each message has a thread of its own,
its warnings are caught there, and whatever was part of the address is masked before anybody reads it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import apprise
import requests
from apprise.logger import logger as apprise_logger
from apprise.plugins import dingtalk, wecombot

from comfymesh.notifier.domain.rules import Channel
from comfymesh.notifier.domain.wording import clean

logger = logging.getLogger(__name__)

# Its texts hold secrets: nobody reads them but this module.
apprise_logger.propagate = False
apprise_logger.setLevel(logging.WARNING)


class _Strict:
    """Stands in for `requests` in plugins of Apprise 2.3 that believe whatever has status 200.

    DingTalk and WeCom answer 200 with an `errcode` when they refuse a message. And DingTalk's plugin escapes its
    signature, which `requests` does again, so that DingTalk refuses each signed message: "sign not match".
    """

    def __getattr__(self, name: str) -> object:
        return getattr(requests, name)

    def post(self, url: str, *, params: Mapping[str, str] | None = None, **options: Any) -> requests.Response:  # noqa: ANN401  # handed on
        plain = {name: unquote(value) for name, value in (params or {}).items()}
        answer = requests.post(url, params=plain, **options)  # noqa: S113  # the plugins give one
        try:
            told = answer.json()
        except ValueError:
            return answer
        if isinstance(told, dict) and told.get("errcode"):
            apprise_logger.warning("refused: errcode=%s %s", told["errcode"], told.get("errmsg", ""))
            answer.status_code = requests.codes.bad_request
        return answer


for plugin in (dingtalk, wecombot):
    vars(plugin)["requests"] = _Strict()

_SECRET = re.compile(r"[A-Za-z0-9_\-%.+~=]{4,}")
_LONGEST_ERROR = 300


class AddressError(Exception):
    """A channel has no address that can be used. The message shows nothing of it."""


class SendError(Exception):
    """A message was not taken. The message shows nothing secret."""


class Address:
    """Where a channel sends to.

    Args:
        url: As Apprise writes it.

    Raises:
        AddressError: it is none.
    """

    def __init__(self, url: str) -> None:
        target: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if not isinstance(target, apprise.NotifyBase):
            raise AddressError(
                "the address is none that Apprise knows, see https://appriseit.com for how it is written"
            )
        self._target = target
        self._words = frozenset(_SECRET.findall(url.partition("://")[2]))
        self._hanging: threading.Thread | None = None

    @property
    def masked(self) -> str:
        """What may be shown of it."""
        shown: str = self._target.url(privacy=True)
        return self.mask(shown.partition("?")[0])

    def mask(self, text: str) -> str:
        """A text without the parts of the address, hosts and names included: which of them are secret differs."""
        for word in sorted(self._words, key=len, reverse=True):
            text = text.replace(word, "****")
        return text

    async def send(self, title: str, text: str, *, bad: bool, timeout: float) -> None:
        """Send a message.

        Args:
            title: One line.
            text: Some lines.
            bad: Whether it is bad news.
            timeout: How long that may take, in seconds.

        Raises:
            SendError: it was not taken, or not in time; then it may have been taken all the same.
        """
        if self._hanging is not None and self._hanging.is_alive():
            # One thread a channel: what hangs must not take a thread more each time.
            raise SendError("the try before still hangs")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str | None] = loop.create_future()

        def settle(problem: str | None) -> None:
            if not done.done():
                done.set_result(problem)

        def run() -> None:
            problem = self._send(title, text, bad=bad, timeout=timeout)
            try:
                loop.call_soon_threadsafe(settle, problem)
            except RuntimeError:
                logger.debug("a message was still being sent when the notifier ended")

        self._hanging = threading.Thread(target=run, name="send", daemon=True)
        self._hanging.start()
        try:
            async with asyncio.timeout(timeout):
                problem = await done
        except TimeoutError:
            raise SendError(f"no answer within {timeout:g} s") from None
        if problem is not None:
            raise SendError(problem)

    def _send(self, title: str, text: str, *, bad: bool, timeout: float) -> str | None:
        """Runs in a thread; answers why it failed."""
        self._target.socket_connect_timeout = self._target.socket_read_timeout = timeout
        kind = apprise.NotifyType.FAILURE if bad else apprise.NotifyType.INFO
        with _Warnings() as warnings:
            try:
                taken = self._target.notify(body=text, title=title, notify_type=kind)
            except Exception as error:  # whatever a plugin raises is a failure to send
                return clean(self.mask(f"{type(error).__name__}: {error}"), _LONGEST_ERROR)
        return None if taken else clean(self.mask("; ".join(warnings.told) or "it was refused"), _LONGEST_ERROR)


class _Warnings(logging.Handler):
    """What Apprise warns of in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []
        self._thread = threading.get_ident()

    def __enter__(self) -> Self:
        apprise_logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        apprise_logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler.emit."""
        if record.thread == self._thread:
            self.told.append(record.getMessage())


def address_of(channel: Channel, environment: Mapping[str, str] | None = None) -> Address:
    """The address of a channel, out of the environment or a file where the rules say so.

    Raises:
        AddressError: there is none.
    """
    where = os.environ if environment is None else environment
    url = channel.url
    if channel.env:
        url = where.get(channel.env, "")
        if not url:
            raise AddressError(f"the environment variable {channel.env} is not set")
    elif channel.file:
        try:
            url = Path(channel.file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AddressError(f"{channel.file} can't be read: {type(error).__name__}") from error
    return Address(url)
