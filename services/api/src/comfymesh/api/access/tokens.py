"""JSON web tokens of an OpenID Connect issuer. The only module that knows PyJWT."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from comfymesh import names
from comfymesh.api.access import decision
from comfymesh.api.access.caller import Caller
from comfymesh.api.access.decision import Identity
from comfymesh.api.access.scopes import Scope
from comfymesh.api.errors import RefusedError

logger = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that are taken: asymmetric ones. With a shared secret, whoever can check a token could make one."""

_LEEWAY = 30.0
_MOST_TOKENS = 10_000
_MOST_BYTES = 1024 * 1024
_FETCH_SECONDS = 10.0
_REFRESH_SECONDS = 300.0
_AT_MOST_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are taken, and what they say.

    Attributes:
        issuer: Their claim `iss`.
        audience: One of their `aud` must be this.
        jwks: File or URL of the keys that they are signed with.
        tenant_claim: The claim that names the tenant.
        scope_prefix: What comes before our scopes in `scope` or `scp`: `comfymesh:read`. Others' are none of ours.
    """

    issuer: str
    audience: str
    jwks: str
    tenant_claim: str = "tenant"
    scope_prefix: str = "comfymesh:"


class SigningKeys:
    """The issuer's keys. Read again from time to time, and when a token names one that is not known.

    Args:
        source: File or URL.
        clock: Answers seconds of a monotonic clock.
    """

    def __init__(self, source: str, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    @property
    def known(self) -> bool:
        """Whether they could ever be read."""
        return bool(self._keys)

    async def follow(self) -> None:
        """Keep them fresh, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Read them; those that are known stay where that fails."""
        try:
            keys = jwt.PyJWKSet.from_dict(await asyncio.to_thread(_load, self._source)).keys
        except Exception as error:  # whatever a document of others' making does to its readers
            logger.warning("can't read the keys of the issuer from %s: %s", self._source, error)
        else:
            self._keys = {key.key_id or "": key for key in keys}

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """A key. One that is not known is looked for, but not for every caller who makes one up."""
        if key_id not in self._keys:
            async with self._reading:
                if key_id not in self._keys and self._clock() - self._read_at >= _AT_MOST_EVERY:
                    self._read_at = self._clock()
                    await self.refresh()
        return self._keys.get(key_id)


class Tokens:
    """Reads tokens. One that was good is not checked again until it expires: a signature costs more than all the rest.

    Args:
        issuer: Whose.
        keys: What they are signed with.
    """

    def __init__(self, issuer: Issuer, keys: SigningKeys) -> None:
        self._issuer = issuer
        self._keys = keys
        self._known: dict[bytes, Identity] = {}

    async def read(self, token: str, digest: bytes, now: float) -> Identity:
        """Whom a token shows. `digest` is its SHA-256, `now` in seconds since the epoch.

        Raises:
            RefusedError: nobody.
        """
        known = self._known.get(digest)
        if known is None:
            known = self._identity(await self._claims(token))
            self._remember(digest, known)
        if known.until <= now:
            raise decision.unknown("the token has expired")
        return known

    async def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            key = await self._keys.find(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                raise self._unsigned()
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._issuer.audience,
                issuer=self._issuer.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, RecursionError) as error:
            # A header is read before its signature is: it may be anything, nested a thousand deep.
            raise decision.unknown(f"it is no API key, and as a token: {error}") from None
        return claims

    def _unsigned(self) -> RefusedError:
        refused = decision.unknown("it is no API key, and not a token of the issuer's keys")
        if not self._keys.known:
            message = "tokens can't be checked at present: the issuer's keys could not be read"
            return RefusedError("ISSUER_UNAVAILABLE", message, retry_after=5.0)
        return refused

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        tenant = claims.get(self._issuer.tenant_claim)
        if not isinstance(tenant, str) or not names.is_tenant_id(tenant):
            raise decision.unknown(f"the token's claim {self._issuer.tenant_claim!r} names no tenant")
        subject = str(claims["sub"])[:128]
        caller = Caller(tenant, f"tokens/{subject}", _scopes(claims, self._issuer.scope_prefix))
        return Identity(caller, float(claims["exp"]) + _LEEWAY)

    def _remember(self, digest: bytes, identity: Identity) -> None:
        if len(self._known) >= _MOST_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[digest] = identity


def _scopes(claims: Mapping[str, Any], prefix: str) -> frozenset[Scope]:
    said = claims.get("scope", claims.get("scp", ""))
    words = said.split() if isinstance(said, str) else [str(word) for word in said] if isinstance(said, list) else []
    return frozenset(scope for scope in Scope if f"{prefix}{scope.lower()}" in words)


def _load(source: str) -> dict[str, Any]:
    """What a file or a page says. Blocks."""
    if "://" in source:
        # The operator names it, and settings allow https, and http on loopback.
        with urllib.request.urlopen(source, timeout=_FETCH_SECONDS) as answer:  # noqa: S310
            data = answer.read(_MOST_BYTES)
    else:
        data = Path(source).read_bytes()
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("it is no set of keys")  # noqa: TRY004  # a value of the wrong kind, not a type error
    return document
