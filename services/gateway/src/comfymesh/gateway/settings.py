"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field

from comfymesh.runtime.settings import ListenAddress, ServiceSettings


class GatewaySettings(ServiceSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    gateway_listen: ListenAddress = Field(
        default="127.0.0.1:8188",
        description="Host and port to listen on, by plain HTTP. Off loopback, put a proxy with TLS before it.",
    )
    gateway_target: str = Field(default="127.0.0.1:7700", description="Address of the API that does the work.")
    gateway_tls: bool = Field(default=False, description="Encrypt the line to the API.")
    gateway_tls_ca: str = Field(
        default="",
        description="PEM file of who signs the API's certificate; those whom the system trusts, where empty.",
    )
    gateway_tls_certificate: str = Field(
        default="", description="PEM file of our certificate, where the API wants one."
    )
    gateway_tls_key: str = Field(default="", description="PEM file of its private key.")
    gateway_allow_plaintext: bool = Field(
        default=False, description="Send callers' keys to an API on another machine without TLS."
    )
    gateway_call_seconds: float = Field(
        default=15.0, gt=0, description="How long a call of the API may take, repetitions included. Seconds."
    )
    gateway_max_upload_bytes: int = Field(default=100 * 1024 * 1024, gt=0, description="Largest upload taken.")
    gateway_max_uploads: int = Field(
        default=4,
        gt=0,
        description="Uploads, and pictures that are changed, that are in memory at once; others wait. A key may have as"
        " many uploads under way.",
    )
    gateway_max_prompt_bytes: int = Field(default=16 * 1024 * 1024, gt=0, description="Largest other body taken.")
    gateway_max_bodies: int = Field(
        default=8, gt=0, description="Bodies of more than 64 KiB, uploads apart, that a key may have under way."
    )
    gateway_max_sockets: int = Field(default=1_000, gt=0, description="Sockets that may be open at once.")
    gateway_max_key_sockets: int = Field(default=100, gt=0, description="Of these, sockets of one key.")
    gateway_max_followed: int = Field(
        default=200, gt=0, description="Tasks of one key whose progress is told at once; of others the end is told."
    )
    gateway_previews: bool = Field(
        default=False,
        description="Send previews of prompts that do not say (`extra_data.preview_method`). ComfyUI's own default is"
        " not to, and some clients take a preview for the picture.",
    )
    gateway_history_items: int = Field(
        default=200,
        gt=0,
        le=10_000,
        description="Prompts that /history shows where it is not said how many, and /queue of each kind.",
    )
    gateway_linger_seconds: float = Field(
        default=30.0, ge=0, description="How long events are kept in mind for clients that have gone. Seconds."
    )
    gateway_allow_origin: str = Field(
        default="", description="Origin whose pages may call, such as https://ui.example; pages of others are refused."
    )
