"""The core's views as messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from comfymesh import names
from comfymesh.scheduler.domain.views import Estimate, Explanation, QueueOverview, Share
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import queue_pb2

T = TypeVar("T")

_MOST_LINES = 1000


def waiting(explanation: Explanation) -> queue_pb2.Waiting:
    """Why a task waits."""
    place = explanation.place
    return queue_pb2.Waiting(
        reason=explanation.reason,
        instance_count=explanation.instances,
        rejected=explanation.rejected,
        node=names.node(place.node) if place else "",
        instance=place.instance if place else "",
        start=_estimate(explanation.start),
        end=_estimate(explanation.end),
    )


def queue(overview: QueueOverview) -> queue_pb2.Queue:
    """The queue."""
    return queue_pb2.Queue(
        total=_share(overview.total),
        tenants=[_share(share, tenant=tenant) for tenant, share in _longest(overview.tenants)],
        priorities=[_share(share, priority=number) for number, share in sorted(overview.priorities.items())[::-1]],
        model_sets=[_share(share, models=models) for models, share in _longest(overview.model_sets)],
    )


def _longest(shares: Mapping[T, Share]) -> Iterable[tuple[T, Share]]:
    return sorted(shares.items(), key=lambda item: (-item[1].waiting, -item[1].running, item[0]))[:_MOST_LINES]


def _share(share: Share, **which: Any) -> queue_pb2.QueueShare:  # noqa: ANN401  # tenant, priority or models
    return queue_pb2.QueueShare(
        waiting_count=share.waiting,
        running_count=share.running,
        oldest_create_time=None if share.oldest is None else timestamp(share.oldest),
        start=_estimate(share.start),
        **which,
    )


def _estimate(estimate: Estimate | None) -> queue_pb2.Estimate | None:
    if estimate is None:
        return None
    message = queue_pb2.Estimate()
    message.remaining.FromMilliseconds(round(max(0.0, estimate.seconds) * 1000))
    message.error.FromMilliseconds(round(estimate.error * 1000))
    return message
