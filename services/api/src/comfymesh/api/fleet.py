"""The fleet as its reports show it, with the catalogs that its instances offer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api import pools
from comfymesh.api.catalog_reader import CatalogReader
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus import streams, subjects
from comfymesh.bus.intents import Intent, IntentStore, preload_to_proto
from comfymesh.bus.port import Bus, CaughtUp, Message
from comfymesh.graphs import Catalog
from comfymesh.runtime.background import Background
from comfymesh.tasks.moments import timestamp
from comfymesh.tasks.placing import Site
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_report_pb2, spec_pb2

logger = logging.getLogger(__name__)

_SOMEWHERE = Site()
_FORGET_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Offer:
    """What an instance offers.

    Attributes:
        node: Its node, `nodes/{node}`.
        instance: Which it is.
        trouble: Why it does not serve; empty where it does.
        catalog: Its catalog, if known.
        site: What it is, for callers who have wishes about that.
    """

    node: str
    instance: str
    trouble: str
    catalog: Catalog | None
    site: Site = _SOMEWHERE


@dataclass(slots=True)
class _Seen:
    """A report, when it was stored by our own monotonic clock, and when by the server's, in seconds since the epoch.

    `offers` is what was made of it last, with what that was made on beside the report: the catalogs, and if it is lost.
    """

    report: node_report_pb2.NodeReport
    at: float
    time: float
    offers: tuple[tuple[int, bool] | None, Sequence[Offer]] = (None, ())


class FleetView:
    """Follows the reports.

    No clock is compared with another's: a report is as old as the server says when it hands it out, and grows older by
    our own clock from then on.

    Args:
        bus: Where reports come from.
        store: Where catalogs are.
        clock: Answers seconds of a monotonic clock.

    Attributes:
        caught_up: Set once every report has been taken in that was there at the start.
        intents_read: Set once everything has been taken in that was wanted of nodes at the start.
    """

    def __init__(self, bus: Bus, store: BlobStore, clock: Callable[[], float]) -> None:
        self.caught_up = asyncio.Event()
        self.intents_read = asyncio.Event()
        self._bus = bus
        self._clock = clock
        self._nodes: dict[str, _Seen] = {}
        self._intents: dict[str, Intent] = {}
        self._catalogs = CatalogReader(store)

    async def follow(self, background: Background) -> None:
        """Take in reports for ever; catalogs are read in `background`."""
        async for item in self._bus.tail(streams.REPORTS, subjects.ALL_REPORTS):
            if isinstance(item, CaughtUp):
                self.caught_up.set()
            else:
                self._take(item, background)

    async def looked(self) -> bool:
        """Wait until every catalog that is offered was looked at, or for five seconds.

        Returns:
            False, and at once, where nothing was to be waited for: `offers` answers as before.
        """
        return await self._catalogs.looked()

    async def follow_intents(self) -> None:
        """Take in what operators want of nodes, for ever."""
        told = 0
        async for item in IntentStore(self._bus).follow():
            if isinstance(item, CaughtUp):
                self.intents_read.set()
                continue
            if item.sequence <= told:
                self._intents.clear()  # The stream was made anew, and counts from one again.
            told = item.sequence
            self.intend(item)

    def intend(self, intent: Intent) -> None:
        """From now on this is wanted of a node, unless something newer is known: the stream may tell of it late."""
        if intent.sequence >= self.intent(intent.node).sequence:
            self._intents[names.node(intent.node)] = intent

    def intent(self, node: str) -> Intent:
        """What is wanted of a node, by its id."""
        return self._intents.get(names.node(node)) or Intent(node)

    def intents(self) -> list[Intent]:
        """What is wanted of every node of which anybody ever wanted something, also of those that are gone."""
        return list(self._intents.values())

    def nodes(self) -> list[node_pb2.Node]:
        """Every node seen within the last hour, by name."""
        now = self._clock()
        self._forget(now)
        return [self._shown(self._nodes[name], now) for name in sorted(self._nodes)]

    def node(self, name: str) -> node_pb2.Node | None:
        """One node."""
        seen = self._nodes.get(name)
        return self._shown(seen, self._clock()) if seen else None

    def _shown(self, seen: _Seen, now: float) -> node_pb2.Node:
        node = _node(seen, now)
        intent = self.intent(names.parse_node(node.name))
        node.wanted_availability, node.wanted_reason = intent.availability, intent.reason
        node.preloads.extend(preload_to_proto(each) for each in intent.preloads)
        pools.fill(node)
        return node

    def offers(self) -> list[Offer]:
        """What each instance of each node offers, whether it serves now or not."""
        now = self._clock()
        self._forget(now)
        # Asked for with every new task, so nothing is copied, or made anew for a node of which nothing is new.
        return [offer for _, seen in sorted(self._nodes.items()) for offer in self._offers(seen, now)]

    def catalogs(self) -> list[spec_pb2.BlobRef]:
        """Where the catalogs of all instances are, each once, in an order that does not change."""
        self._forget(self._clock())
        found = {
            offer.catalog.sha256: offer.catalog
            for seen in self._nodes.values()
            for offer in seen.report.offers
            if offer.catalog.sha256
        }
        return [found[digest] for digest in sorted(found)]

    def _offers(self, seen: _Seen, now: float) -> Sequence[Offer]:
        made_on = self._catalogs.edition, _lost(seen, now)
        if seen.offers[0] != made_on:
            seen.offers = made_on, self._make_offers(seen, lost=made_on[1])
        return seen.offers[1]

    def _make_offers(self, seen: _Seen, *, lost: bool) -> list[Offer]:
        node = seen.report.node
        digests = {offer.instance: offer.catalog.sha256 for offer in seen.report.offers}
        unreachable = "its node does not report" if lost else ""
        return [
            Offer(
                node.name,
                instance.name,
                unreachable or _trouble(node, instance),
                self._catalogs.get(digests.get(instance.name, "")),
                _site(node, instance),
            )
            for instance in node.instances
        ]

    def _forget(self, now: float) -> None:
        """Drop nodes that have been silent for long."""
        old = [name for name, seen in self._nodes.items() if now - seen.at >= _FORGET_AFTER]
        for name in old:
            del self._nodes[name]
        if old:
            self._forget_catalogs()

    def _forget_catalogs(self) -> None:
        """Drop catalogs that no node offers any more."""
        self._catalogs.keep({offer.catalog.sha256 for seen in self._nodes.values() for offer in seen.report.offers})

    def _take(self, item: Message, background: Background) -> None:
        try:
            report = node_report_pb2.NodeReport.FromString(item.data)
            node = names.parse_node(report.node.name)
        except (DecodeError, names.MalformedNameError) as error:
            logger.warning("a report on %s can't be read: %s", item.subject, error)
            return
        if item.subject != subjects.report(node):
            return
        before = self._nodes.get(report.node.name)
        if before is not None:
            _keep_offers(report, before.report)
        self._nodes[report.node.name] = _Seen(report, self._clock() - item.age, item.time)
        if before is not None and before.report.offers != report.offers:
            self._forget_catalogs()
        self._catalogs.offer((offer.catalog for offer in report.offers), background)


def _keep_offers(report: node_report_pb2.NodeReport, before: node_report_pb2.NodeReport) -> None:
    """What an instance offered stays known until it tells anew: an agent that was just started has not asked it yet.

    Otherwise graphs that it alone can run would be refused for the length of an agent's start.
    """
    told = {offer.instance for offer in report.offers}
    silent = {instance.name for instance in report.node.instances} - told
    report.offers.extend(offer for offer in before.offers if offer.instance in silent)


def _node(seen: _Seen, now: float) -> node_pb2.Node:
    node = node_pb2.Node()
    node.CopyFrom(seen.report.node)
    node.state = node_pb2.Node.STATE_UNREACHABLE if _lost(seen, now) else node_pb2.Node.STATE_ACTIVE
    node.last_report_time.CopyFrom(timestamp(seen.time))
    return node


def _lost(seen: _Seen, now: float) -> bool:
    return now - seen.at >= streams.REPORT_TTL.total_seconds()


def _site(node: node_pb2.Node, instance: node_pb2.Instance) -> Site:
    labels = {**node.labels, **instance.labels} if instance.labels else node.labels
    return Site(labels, instance.gpu_class, instance.vram_bytes, instance.pool)


def _trouble(node: node_pb2.Node, instance: node_pb2.Instance) -> str:
    if node.availability != node_pb2.Node.AVAILABILITY_OPEN:
        return "its node takes no new work"
    if instance.state in {node_pb2.Instance.STATE_READY, node_pb2.Instance.STATE_BUSY}:
        return ""
    name = node_pb2.Instance.State.Name(instance.state).removeprefix("STATE_")
    return f"{name}: {instance.state_reason}" if instance.state_reason else name
