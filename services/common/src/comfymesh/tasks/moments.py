"""Moments as protobuf has them."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(moment: float) -> Timestamp:
    """Seconds since the epoch as a protobuf timestamp, to the microsecond."""
    whole, fraction = divmod(round(moment * 1_000_000), 1_000_000)
    return Timestamp(seconds=whole, nanos=fraction * 1000)


def seconds(moment: Timestamp) -> float:
    """A protobuf timestamp as seconds since the epoch, to the microsecond."""
    return (moment.seconds * 1_000_000 + moment.nanos // 1000) / 1_000_000
