"""Shows and changes how tasks are scheduled. For operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from comfymesh.client.calls import Calls
from comfymesh.client.errors import InvalidRequest
from comfymesh.client.scheduling_convert import policy_from_proto, policy_to_proto, queue_from_proto
from comfymesh.v1 import scheduling_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfymesh.client.scheduling_models import Policy, Queue, Setting

A = TypeVar("A")


class SchedulingCalls(Calls):
    """The part of a client that sees to scheduling."""

    async def policy(self) -> Policy:
        """How the scheduler orders and places tasks.

        Raises:
            ComfyMeshError: The call failed.
        """
        answer = await self._ask(
            lambda stubs, seconds: stubs.scheduling.GetPolicy(pb.GetPolicyRequest(), timeout=seconds)
        )
        return policy_from_proto(answer.policy)

    async def update_policy(
        self,
        settings: Mapping[str, Setting | None] | None = None,
        *,
        tenants: Mapping[str, Mapping[str, Setting] | None] | None = None,
        etag: str = "",
        validate_only: bool = False,
    ) -> Policy:
        """Changes settings of the policy. Every scheduler follows it at once.

        Args:
            settings: New values by name, such as ``{"affinity": False}``; None for the default.
            tenants: All settings of a tenant, by its name; None for the defaults.
            etag: `Policy.etag` of the version that the change builds on; default: whichever is there.
            validate_only: Check everything, change nothing.

        Returns:
            The policy as it is then.

        Raises:
            InvalidRequest: A name or a value is wrong.
            Conflict: It has changed since the etag was read.
            ComfyMeshError: The call failed.
        """
        settings, tenants = settings or {}, tenants or {}
        try:
            policy = policy_to_proto(settings, tenants, etag)
        except ValueError as error:
            raise InvalidRequest(str(error), reason="INPUT_INVALID") from None
        request = pb.UpdatePolicyRequest(policy=policy, validate_only=validate_only)
        request.update_mask.paths.extend([*settings, *(f"tenants.{name}" for name in tenants)])
        answer = await self._ask(lambda stubs, seconds: stubs.scheduling.UpdatePolicy(request, timeout=seconds))
        return policy_from_proto(answer.policy)

    async def queue(self) -> Queue:
        """What waits and runs, as the scheduler that acts sees it.

        Raises:
            Unavailable: No scheduler acts.
            ComfyMeshError: The call failed.
        """
        answer = await self._ask(
            lambda stubs, seconds: stubs.scheduling.GetQueue(pb.GetQueueRequest(), timeout=seconds)
        )
        return queue_from_proto(answer.queue)
