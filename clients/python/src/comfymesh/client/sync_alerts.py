"""Alerts for programs without asyncio. Methods are those of `AlertCalls`, without ``await``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from comfymesh.client.aio import AsyncClient
    from comfymesh.client.alert_models import (
        Alert,
        AlertNotice,
        AlertSetup,
        ChannelDelivery,
        DeliveryState,
        Severity,
        Silence,
        WebhookDelivery,
    )
    from comfymesh.client.loop_thread import LoopThread
    from comfymesh.client.models import Task


class SyncAlertCalls:
    """The part of a client that sees to alerts."""

    _client: AsyncClient
    _thread: LoopThread

    def alert_setup(self) -> AlertSetup:
        """The rules and channels that the notifier follows. See `AsyncClient.alert_setup`."""
        return self._thread.call(self._client.alert_setup())

    def alerts(self, *, firing_only: bool = False) -> Sequence[Alert]:
        """The alerts under way. See `AsyncClient.alerts`."""
        return self._thread.call(self._client.alerts(firing_only=firing_only))

    def alert_notices(
        self,
        *,
        rule: str = "",
        alert: str = "",
        severity: Severity | None = None,
        after: datetime | None = None,
        page_size: int = 0,
    ) -> Iterator[AlertNotice]:
        """What was told, oldest first. See `AsyncClient.alert_notices`."""
        return self._thread.iterate(
            self._client.alert_notices(rule=rule, alert=alert, severity=severity, after=after, page_size=page_size)
        )

    def acknowledge_alert(self, alert: str, by: str) -> None:
        """Says that somebody sees to an alert. See `AsyncClient.acknowledge_alert`."""
        self._thread.call(self._client.acknowledge_alert(alert, by))

    def silence_alerts(
        self,
        lasts: timedelta,
        comment: str,
        *,
        rules: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        by: str = "",
    ) -> Silence:
        """Lets nobody be told of some alerts for some time. See `AsyncClient.silence_alerts`."""
        return self._thread.call(self._client.silence_alerts(lasts, comment, rules=rules, labels=labels, by=by))

    def silences(self) -> Sequence[Silence]:
        """The silences that have not ended. See `AsyncClient.silences`."""
        return self._thread.call(self._client.silences())

    def end_silence(self, silence: str) -> None:
        """Ends a silence. See `AsyncClient.end_silence`."""
        self._thread.call(self._client.end_silence(silence))

    def test_alert_channel(self, channel: str) -> ChannelDelivery:
        """Sends a message on a channel. See `AsyncClient.test_alert_channel`."""
        return self._thread.call(self._client.test_alert_channel(channel))

    def webhook_deliveries(
        self, *, task: str | Task = "", state: DeliveryState | None = None, page_size: int = 0
    ) -> Iterator[WebhookDelivery]:
        """Calls to callback URLs. See `AsyncClient.webhook_deliveries`."""
        return self._thread.iterate(self._client.webhook_deliveries(task=task, state=state, page_size=page_size))

    def redeliver_webhook(self, delivery: str) -> WebhookDelivery:
        """Lets a call be tried again. See `AsyncClient.redeliver_webhook`."""
        return self._thread.call(self._client.redeliver_webhook(delivery))
