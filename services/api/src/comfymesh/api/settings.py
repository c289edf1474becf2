"""Settings of the API."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from comfymesh.api.access.posture import is_safe_source
from comfymesh.egress.settings import EgressSettings, InputUrlSettings
from comfymesh.runtime.settings import ListenAddress, LogReaderSettings


class ApiSettings(LogReaderSettings, InputUrlSettings, EgressSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    api_listen: ListenAddress = Field(default="127.0.0.1:7700", description="Host and port to listen on.")
    api_workers: int = Field(
        default=1,
        ge=1,
        description="Processes that share the port; each connection is served by one of them. One uses about one core."
        " What is limited for each server is limited for each of them.",
    )
    api_worker_of: int = Field(
        default=0, ge=0, description="Set by the process that has workers, for each of them: its own process id."
    )
    api_auth: Literal["keys", "open"] = Field(
        default="keys",
        description="`keys`: callers need an API key or a JWT. `open`: everybody may do everything; on loopback only.",
    )
    api_allow_open: bool = Field(
        default=False, description="Accept `open` on an address that other machines can reach."
    )
    api_allow_plaintext: bool = Field(
        default=False,
        description="Accept an address that other machines can reach without TLS, as behind a proxy that has it.",
    )
    api_bootstrap_key_file: str = Field(
        default="",
        description="File with a secret of at least 32 characters that is taken for a key with all scopes: for making"
        " the first real one. Remove it then. An empty file is none.",
    )
    api_tls_certificate: str = Field(default="", description="PEM file of the server's certificate, with its chain.")
    api_tls_key: str = Field(default="", description="PEM file of its private key.")
    api_tls_client_ca: str = Field(
        default="", description="PEM file of who signs callers' certificates; with it, callers need one (mTLS)."
    )
    oidc_issuer: str = Field(default="", description="Claim `iss` of the JWTs that are taken; none are when empty.")
    oidc_audience: str = Field(default="", description="What their claim `aud` must hold. Required with an issuer.")
    oidc_jwks: str = Field(
        default="", description="File or https URL of the keys that they are signed with. Required with an issuer."
    )
    oidc_tenant_claim: str = Field(default="tenant", description="The claim that names the tenant.")
    oidc_scope_prefix: str = Field(
        default="comfymesh:", description="What stands before our scopes in the claim `scope` or `scp`."
    )
    api_drain_seconds: float = Field(
        default=5.0, ge=0, description="How long calls under way may take to end when the server stops. Seconds."
    )
    api_drain_notice_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long calls are still taken after health says NOT_SERVING, until load balancers have seen that."
        " Seconds.",
    )
    api_max_calls: int = Field(
        default=20_000, gt=0, description="Calls that may be under way at once, streams included; 50 kB each."
    )
    api_max_uploads: int = Field(
        default=200, gt=0, description="Uploads that may be under way at once; others are asked to try again."
    )
    api_upload_silence_seconds: float = Field(
        default=60.0, gt=0, description="An upload that sends nothing for so long is ended; it can go on. Seconds."
    )
    api_max_connection_calls: int = Field(
        default=5_000, gt=0, description="Calls that may be under way over one connection; others wait at the caller."
    )
    api_compress_responses: bool = Field(
        default=False, description="Compress responses (gzip): saves a slow line, costs CPU."
    )
    api_max_graph_bytes: int = Field(default=4 * 1024 * 1024, gt=0, description="Largest graph taken, in bytes.")
    api_max_asset_bytes: int = Field(default=100 * 1024 * 1024, gt=0, description="Largest asset taken, in bytes.")
    api_asset_retention_days: float = Field(
        default=90.0,
        ge=0,
        description="An asset that was not uploaded or named by a new task for so long is removed; 0 for never. Days.",
    )
    api_blob_grace_hours: float = Field(
        default=6.0,
        ge=0.25,
        le=12,
        description="Bytes that nothing names any more (of dropped tasks, removed assets, uploads given up) are removed"
        " after so long, and before twice as long. Hours.",
    )
    api_heartbeat_seconds: float = Field(
        default=15.0, gt=0, description="A watcher who was told nothing for so long is sent a heartbeat. Seconds."
    )
    api_desk: bool = Field(
        default=False,
        description="Answer nodes that have NATS accounts of their own. Needed where there are any. See docs/nats.md.",
    )
    api_settle_seconds: float = Field(
        default=30.0,
        ge=0,
        description="So long after the start, missing nodes may still come: refusals ask to try again. Seconds.",
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if bool(self.api_tls_certificate) != bool(self.api_tls_key):
            raise ValueError("COMFYMESH_API_TLS_CERTIFICATE and COMFYMESH_API_TLS_KEY go together")
        if self.api_tls_client_ca and not self.api_tls_certificate:
            raise ValueError("COMFYMESH_API_TLS_CLIENT_CA needs COMFYMESH_API_TLS_CERTIFICATE")
        if self.oidc_issuer and not (self.oidc_audience and self.oidc_jwks):
            raise ValueError("COMFYMESH_OIDC_ISSUER needs COMFYMESH_OIDC_AUDIENCE and COMFYMESH_OIDC_JWKS")
        if self.oidc_jwks and not is_safe_source(self.oidc_jwks):
            raise ValueError("COMFYMESH_OIDC_JWKS must be a file or an https URL: whoever forges keys forges callers")
        return self
