"""The part of the wire that asks AlertService."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from comfymesh.v1 import alert_service_pb2 as pb
    from comfymesh.v1.alert_service_pb2_grpc import AlertServiceStub

R = TypeVar("R")


class AlertMethods(ABC):
    """The methods of AlertService."""

    @property
    @abstractmethod
    def _alerts(self) -> AlertServiceStub:
        """The stub, over an open channel."""

    @abstractmethod
    async def _unary(self, call: Awaitable[R]) -> R:
        """What a call answers; its failure is a ComfyMeshError."""

    async def list_alert_rules(self, request: pb.ListAlertRulesRequest, timeout: float) -> pb.ListAlertRulesResponse:
        """AlertService.ListAlertRules."""
        return await self._unary(self._alerts.ListAlertRules(request, timeout=timeout))

    async def list_alerts(self, request: pb.ListAlertsRequest, timeout: float) -> pb.ListAlertsResponse:
        """AlertService.ListAlerts."""
        return await self._unary(self._alerts.ListAlerts(request, timeout=timeout))

    async def list_alert_notices(
        self, request: pb.ListAlertNoticesRequest, timeout: float
    ) -> pb.ListAlertNoticesResponse:
        """AlertService.ListAlertNotices."""
        return await self._unary(self._alerts.ListAlertNotices(request, timeout=timeout))

    async def acknowledge_alert(
        self, request: pb.AcknowledgeAlertRequest, timeout: float
    ) -> pb.AcknowledgeAlertResponse:
        """AlertService.AcknowledgeAlert."""
        return await self._unary(self._alerts.AcknowledgeAlert(request, timeout=timeout))

    async def create_silence(self, request: pb.CreateSilenceRequest, timeout: float) -> pb.CreateSilenceResponse:
        """AlertService.CreateSilence."""
        return await self._unary(self._alerts.CreateSilence(request, timeout=timeout))

    async def list_silences(self, request: pb.ListSilencesRequest, timeout: float) -> pb.ListSilencesResponse:
        """AlertService.ListSilences."""
        return await self._unary(self._alerts.ListSilences(request, timeout=timeout))

    async def delete_silence(self, request: pb.DeleteSilenceRequest, timeout: float) -> pb.DeleteSilenceResponse:
        """AlertService.DeleteSilence."""
        return await self._unary(self._alerts.DeleteSilence(request, timeout=timeout))

    async def test_alert_channel(
        self, request: pb.TestAlertChannelRequest, timeout: float
    ) -> pb.TestAlertChannelResponse:
        """AlertService.TestAlertChannel."""
        return await self._unary(self._alerts.TestAlertChannel(request, timeout=timeout))

    async def list_webhook_deliveries(
        self, request: pb.ListWebhookDeliveriesRequest, timeout: float
    ) -> pb.ListWebhookDeliveriesResponse:
        """AlertService.ListWebhookDeliveries."""
        return await self._unary(self._alerts.ListWebhookDeliveries(request, timeout=timeout))

    async def redeliver_webhook(
        self, request: pb.RedeliverWebhookRequest, timeout: float
    ) -> pb.RedeliverWebhookResponse:
        """AlertService.RedeliverWebhook."""
        return await self._unary(self._alerts.RedeliverWebhook(request, timeout=timeout))
