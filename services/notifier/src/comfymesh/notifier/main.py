"""The notifier's process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from comfymesh.bus import streams, subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Entry
from comfymesh.egress.guard import Egress
from comfymesh.egress.http import OutwardHttp
from comfymesh.notifier import convert, rulesfile
from comfymesh.notifier.delivering import Delivery, Target
from comfymesh.notifier.domain.alerts import Numbering
from comfymesh.notifier.domain.core import Core
from comfymesh.notifier.domain.rules import Rules
from comfymesh.notifier.domain.state import State
from comfymesh.notifier.history import History
from comfymesh.notifier.ledger import LedgerKeeper
from comfymesh.notifier.loop import Notifier, Tell
from comfymesh.notifier.memory import Memory, SupersededError, encode
from comfymesh.notifier.rulesfile import Problem, RulesError
from comfymesh.notifier.sending import Address, AddressError, address_of
from comfymesh.notifier.settings import NotifierSettings
from comfymesh.notifier.webhooks.calling import SignedCaller
from comfymesh.notifier.webhooks.queue import WebhookQueue
from comfymesh.runtime import service
from comfymesh.runtime.background import Background
from comfymesh.runtime.connect import open_bus
from comfymesh.runtime.patience import patiently
from comfymesh.v1 import alert_pb2
from comfymesh.wire.v1 import alerting_pb2

logger = logging.getLogger(__name__)

_PARTS = {"hearing": 10.0, "storing": 30.0}
"""What must work, and for how many seconds it may be silent."""


async def serve(settings: NotifierSettings, stop: asyncio.Event) -> None:
    """Tell people and programs what happens, until `stop` is set."""
    path = settings.notifier_rules
    rules = Rules(version=1) if path is None else rulesfile.read(path)
    rules = rules.documented(settings.notifier_docs_url)
    addresses = open_channels(rules, str(path))
    outward = OutwardHttp(Egress(settings.egress_allow), total_seconds=settings.notifier_webhook_seconds)
    with contextlib.closing(History(settings.notifier_log)) as history:
        async with await service.unless_stopped(stop, open_bus(settings, "notifier")) as bus, outward as http:
            memory = Memory(bus)
            state = await service.unless_stopped(stop, begin(bus, memory))
            async with Background() as background:
                webhooks = WebhookQueue(bus, SignedCaller(http, settings.webhook_keys, time.time), time.time)
                background.spawn(webhooks.run(background), "webhook queue")
                background.spawn(_show(bus, rules, addresses), "setup")
                background.spawn(LedgerKeeper(bus, time.time).keep(), "ledger")
                tell_now = await service.unless_stopped(stop, begin_telling(rules, addresses, bus, background))
                notifier = Notifier(
                    Core(rules, state, time.time()),
                    rules,
                    bus,
                    memory,
                    call=webhooks.add,
                    tell_now=tell_now,
                    log=history.write,
                    clock=time.time,
                )
                await _run(notifier, rules, stop, background.failed)


async def begin_telling(rules: Rules, addresses: Mapping[str, Target], bus: Bus, background: Background) -> Tell:
    """Begin with what is still to be told on each channel; answers what tells a new notice at once.

    Each channel has its place in the notices by then: one that is new is told of all that is noticed from now on.
    """
    deliveries = [Delivery(channel, addresses[channel.name], bus, time.time) for channel in rules.channels]
    for delivery in deliveries:
        background.spawn(delivery.run(await delivery.begin()), "channel")

    def tell_now(notice: alert_pb2.AlertNotice) -> None:
        for delivery in deliveries:
            if delivery.name in notice.channels:
                background.spawn(delivery.tell(notice), "notice")

    return tell_now


async def _run(notifier: Notifier, rules: Rules, stop: asyncio.Event, failed: asyncio.Event) -> None:
    async with notifier:
        fields = {"action": "listening", "rules": len(rules.rules), "channels": len(rules.channels)}
        logger.info("listening to the mesh", extra=fields)
        try:
            await service.until(stop, notifier.failed, failed)
        except service.ServiceFailedError as error:
            raise notifier.superseded or error from None


def open_channels(rules: Rules, source: str) -> dict[str, Address]:
    """The addresses of all channels.

    Raises:
        RulesError: one has none that can be used; all of them are named.
    """
    found, problems = dict[str, Address](), list[Problem]()
    for channel in rules.channels:
        try:
            found[channel.name] = address_of(channel)
        except AddressError as error:
            problems.append(Problem(0, f"channel {channel.name}", str(error)))
    if problems:
        raise RulesError(source, problems)
    return found


async def begin(bus: Bus, memory: Memory) -> State:
    """What is known from before. A notifier that is new tells of what comes from now on.

    It is stored at once: what happens from here on is told, however soon the notifier is killed. Of two notifiers the
    one that begins later goes on; where the other stores something at this very moment, it is looked at again.
    """
    while True:
        state = _next_life(await memory.load(), await _end_of_log(bus))
        try:
            await memory.store(encode(state))
        except SupersededError:
            continue
        return state


async def _end_of_log(bus: Bus) -> int:
    return (await patiently(lambda: bus.state(streams.TASKS), BusUnavailableError, what="look at the log")).last


def _next_life(state: State | None, last: int) -> State:
    """The state with which a notifier begins, where `last` is the end of the log."""
    life = uuid4().hex
    if state is None:
        return State(Numbering(life[:12]), position=last, time=time.time(), life=life)
    if state.position > last:
        logger.warning(
            "the task log ends at %d and was followed up to %d: it is another one, it is followed from its end",
            last,
            state.position,
            extra={"action": "log_replaced"},
        )
        state.position = last
    state.life = life
    return state


async def _show(bus: Bus, rules: Rules, addresses: dict[str, Address]) -> None:
    """Let the api know the rules."""
    setup = alerting_pb2.AlertingSetup(
        rules=map(convert.rule_message, rules.rules), channels=_channels(rules, addresses)
    )
    entry = Entry(subjects.ALERTING_SETUP, setup.SerializeToString())
    await patiently(lambda: bus.append([entry]), BusUnavailableError, what="show the rules")


def _channels(rules: Rules, addresses: dict[str, Address]) -> Sequence[alert_pb2.AlertChannel]:
    return [
        alert_pb2.AlertChannel(
            name=channel.name,
            address=addresses[channel.name].masked,
            severity=convert.SEVERITIES[channel.severity],
        )
        for channel in rules.channels
    ]


def main() -> None:
    """Run the notifier until it is told to stop."""
    service.run("notifier", NotifierSettings, serve, _PARTS)
