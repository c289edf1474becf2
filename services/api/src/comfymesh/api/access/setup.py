"""Puts the gate together as the settings say."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from comfymesh.api.access import decision, posture
from comfymesh.api.access.certificates import Certificates, Files
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.gate import Gate
from comfymesh.api.access.posture import Posture, UnsafeSettingsError
from comfymesh.api.access.tokens import Issuer, SigningKeys, Tokens
from comfymesh.api.settings import ApiSettings
from comfymesh.runtime.background import Background

_SHORTEST_BOOTSTRAP = 32


def check(settings: ApiSettings) -> None:
    """Refuse settings that are not safe.

    Raises:
        UnsafeSettingsError: with what to do.
    """
    posture.check(
        Posture(
            settings.api_listen,
            is_open=settings.api_auth == "open",
            has_tls=bool(settings.api_tls_certificate),
            allow_open=settings.api_allow_open,
            allow_plaintext=settings.api_allow_plaintext,
        )
    )


def certificates(settings: ApiSettings) -> Certificates | None:
    """Of the port; None where it has none.

    Raises:
        CertificateError: they can't be used.
    """
    if not settings.api_tls_certificate:
        return None
    return Certificates(Files(settings.api_tls_certificate, settings.api_tls_key, settings.api_tls_client_ca))


async def gate(settings: ApiSettings, directory: Directory, background: Background) -> Gate:
    """Lets callers in.

    Raises:
        UnsafeSettingsError: the bootstrap key can't be read or is too short.
    """
    bootstrap = await asyncio.to_thread(_bootstrap, settings.api_bootstrap_key_file)
    return Gate(
        directory,
        time.time,
        is_open=settings.api_auth == "open",
        bootstrap=bootstrap,
        tokens=_tokens(settings, background),
    )


def _tokens(settings: ApiSettings, background: Background) -> Tokens | None:
    if not settings.oidc_issuer:
        return None
    keys = SigningKeys(settings.oidc_jwks, time.monotonic)
    background.spawn(keys.follow(), "issuer's keys")
    issuer = Issuer(
        settings.oidc_issuer,
        settings.oidc_audience,
        settings.oidc_jwks,
        settings.oidc_tenant_claim,
        settings.oidc_scope_prefix,
    )
    return Tokens(issuer, keys)


def _bootstrap(path: str) -> bytes | None:
    if not path:
        return None
    try:
        secret = Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        raise UnsafeSettingsError(f"COMFYMESH_API_BOOTSTRAP_KEY_FILE can't be read: {error}") from error
    if not secret:
        return None  # as containers are handed a secret that nobody has set
    if len(secret) < _SHORTEST_BOOTSTRAP:
        raise UnsafeSettingsError(
            f"the key in COMFYMESH_API_BOOTSTRAP_KEY_FILE has fewer than {_SHORTEST_BOOTSTRAP} characters and could be"
            " guessed; `openssl rand -hex 32` makes a good one"
        )
    return decision.digest(secret)
