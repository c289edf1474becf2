"""Lets callers in, or tells them why not. One for all methods; the interceptor asks it before every call."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from comfymesh.api.access import decision
from comfymesh.api.access.caller import DEFAULT_TENANT, Caller
from comfymesh.api.access.decision import Identity
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.rates import Rates
from comfymesh.api.access.scopes import ALL
from comfymesh.api.access.tokens import Tokens
from comfymesh.api.errors import QuotaViolation, RefusedError
from comfymesh.v1 import tenant_pb2

KEY_PREFIX = "cmk_"
"""What every API key begins with: scanners for leaked secrets know it by that."""

_ANONYMOUS = Identity(Caller(DEFAULT_TENANT, "anonymous", ALL), float("inf"))
# Holds whatever is done to its tenant: it is the way back in for who has locked themselves out.
_BOOTSTRAP = Identity(Caller(DEFAULT_TENANT, "bootstrap", ALL), float("inf"))


@dataclass(slots=True)
class Admission:
    """A call that was let in. A long one is looked at again: keys are revoked and tokens expire while streams flow.

    Attributes:
        caller: Whose call it is.
        until: When the credentials end, in seconds since the epoch.
        version: Which state of the directory the decision was made on.
    """

    caller: Caller
    until: float
    version: int


class Gate:
    """Decides about calls.

    Args:
        directory: Tenants and keys.
        clock: Answers seconds since the epoch.
        is_open: Whether everybody may do everything, without credentials.
        bootstrap: SHA-256 of the key that the operator gave to the process, for the first key; None without.
        tokens: Reads JWTs; None where none are taken.
    """

    def __init__(
        self,
        directory: Directory,
        clock: Callable[[], float],
        *,
        is_open: bool,
        bootstrap: bytes | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._open = is_open
        self._bootstrap = bootstrap
        self._tokens = tokens
        self._rates = Rates()

    async def admit(self, method: str, metadata: Mapping[str, str | bytes]) -> Admission:
        """Who makes a call that may be made.

        Raises:
            RefusedError: it may not be.
        """
        now = self._clock()
        admission = await self._decide(method, metadata, now)
        tenant = self._directory.tenant(admission.caller.tenant)
        if tenant is not None and tenant.limits.requests_per_second and admission.caller is not _BOOTSTRAP.caller:
            self._take(tenant, now)
        return admission

    def holds(self, admission: Admission) -> bool:
        """Whether nothing has changed since a call was let in."""
        return admission.version == self._directory.version and self._clock() < admission.until

    async def renew(self, method: str, metadata: Mapping[str, str | bytes]) -> Admission:
        """Look again at a call under way.

        Raises:
            RefusedError: it may not go on.
        """
        return await self._decide(method, metadata, self._clock())

    async def _decide(self, method: str, metadata: Mapping[str, str | bytes], now: float) -> Admission:
        identity = _ANONYMOUS if self._open else await self._identify(decision.credential(metadata), now)
        caller = identity.caller
        if caller is not _BOOTSTRAP.caller:
            decision.authorize(caller, self._directory.tenant(caller.tenant), method)
        return Admission(caller, identity.until, self._directory.version)

    async def _identify(self, secret: str, now: float) -> Identity:
        digest = decision.digest(secret)
        if (held := self._directory.find(digest)) is not None:
            return decision.identify(held, now)
        if self._bootstrap is not None and hmac.compare_digest(digest, self._bootstrap):
            return _BOOTSTRAP
        if self._tokens is None or secret.startswith(KEY_PREFIX):
            raise decision.unknown("there is no such key")
        return await self._tokens.read(secret, digest, now)

    def _take(self, tenant: tenant_pb2.Tenant, now: float) -> None:
        limits = tenant.limits
        wait = self._rates.take(tenant.name, limits.requests_per_second, limits.request_burst, now)
        if wait:
            limit = f"{limits.requests_per_second:g}"
            message = f"{tenant.name} may make {limit} calls a second; wait {wait:.2f} s"
            raise RefusedError(
                "RATE_LIMITED",
                message,
                {"limit": limit},
                quota=QuotaViolation(tenant.name, message),
                retry_after=max(wait, 0.001),
            )
