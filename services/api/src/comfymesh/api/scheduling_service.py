"""comfymesh.v1.SchedulingService."""

from __future__ import annotations

from typing import Any

import grpc

from comfymesh.api.insight import Insight
from comfymesh.api.policies import Policies
from comfymesh.v1 import scheduling_service_pb2, scheduling_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class SchedulingService(scheduling_service_pb2_grpc.SchedulingServiceServicer):
    """Shows and changes how tasks are scheduled."""

    def __init__(self, policies: Policies, insight: Insight) -> None:
        self._policies = policies
        self._insight = insight

    async def GetPolicy(
        self, request: scheduling_service_pb2.GetPolicyRequest, context: Context
    ) -> scheduling_service_pb2.GetPolicyResponse:
        """See the proto."""
        return scheduling_service_pb2.GetPolicyResponse(policy=await self._policies.read())

    async def UpdatePolicy(
        self, request: scheduling_service_pb2.UpdatePolicyRequest, context: Context
    ) -> scheduling_service_pb2.UpdatePolicyResponse:
        """See the proto."""
        return scheduling_service_pb2.UpdatePolicyResponse(policy=await self._policies.update(request))

    async def GetQueue(
        self, request: scheduling_service_pb2.GetQueueRequest, context: Context
    ) -> scheduling_service_pb2.GetQueueResponse:
        """See the proto."""
        return scheduling_service_pb2.GetQueueResponse(queue=await self._insight.queue())
