"""Shows and changes the policy of scheduling."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from comfymesh import names
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.bus.policies import PolicyStore, StoredPolicy
from comfymesh.bus.port import SequenceConflictError
from comfymesh.tasks import policy, policy_codec
from comfymesh.tasks.policy import PolicySettings
from comfymesh.v1 import scheduling_policy_pb2, scheduling_service_pb2

logger = logging.getLogger(__name__)

_NAME = "schedulingPolicy"


class Policies:
    """The policy, for operators.

    Args:
        store: Where it is.
    """

    def __init__(self, store: PolicyStore) -> None:
        self._store = store

    async def read(self) -> scheduling_policy_pb2.SchedulingPolicy:
        """The policy as it stands."""
        return (await self._store.read()).message

    async def update(
        self, request: scheduling_service_pb2.UpdatePolicyRequest
    ) -> scheduling_policy_pb2.SchedulingPolicy:
        """Change what the request names.

        Raises:
            RefusedError: a value or the mask is wrong, or somebody else has changed the policy meanwhile.
        """
        if wrong := list(_mask_violations(request.update_mask.paths)):
            raise invalid(wrong)
        while True:
            known = await self._store.read()
            wanted = _changed(known.settings, request)
            if wanted == known.settings:
                return known.message  # Perhaps by an earlier try of this call, of which the answer was lost.
            if request.policy.etag not in ("", known.message.etag):
                raise _stale()
            if request.validate_only:
                return StoredPolicy(wanted, known.sequence, known.time).message
            try:
                await self._store.replace(wanted, known.sequence)
            except SequenceConflictError:
                continue
            paths = ", ".join(request.update_mask.paths)
            logger.info("the policy was changed: %s", paths[:512], extra={"action": "policy_changed"})
            return await self.read()


def _changed(settings: PolicySettings, request: scheduling_service_pb2.UpdatePolicyRequest) -> PolicySettings:
    wanted = policy_codec.updated(settings, policy_codec.from_message(request.policy), request.update_mask.paths)
    if wrong := [Violation(f"policy.{field}", words) for field, words in policy.violations(wanted)]:
        raise invalid(wrong)
    return wanted


def _mask_violations(paths: Sequence[str]) -> Iterator[Violation]:
    known = policy_codec.paths()
    if not paths:
        yield Violation("update_mask", "is required: name the settings to change")
    for index, path in enumerate(paths):
        whole, dot, tenant = path.partition(".")
        single = whole == policy_codec.TENANTS and dot and names.is_node_id(tenant)
        if path not in known and not single:
            options = ", ".join([*sorted(known), "tenants.{tenant}"])
            yield Violation(f"update_mask.paths[{index}]", f"{path[:64]!r} is no setting; there are {options}")


def _stale() -> RefusedError:
    message = "the policy has changed since its etag was read; read it again and repeat the change"
    return RefusedError("ETAG_MISMATCH", message, {"resource": _NAME}, retry_after=None)
