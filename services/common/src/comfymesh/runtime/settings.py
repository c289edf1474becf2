"""Settings that every service has. Each service adds its own in a class derived from this one."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from comfymesh.runtime.secret_files import SecretFiles

MAY_BE_SECRET: JsonDict = {"secret": "may be"}
"""Marks a setting whose value may hold a secret, such as a password in a URL, for docs/configuration.md."""


def may_be_secret(field: FieldInfo) -> bool:
    """Whether nobody may be shown the value of a setting."""
    return field.json_schema_extra == MAY_BE_SECRET or "SecretStr" in str(field.annotation)


def _host_and_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 65536):
        raise ValueError("must be host:port, such as 127.0.0.1:7700")
    return value


ListenAddress = Annotated[str, AfterValidator(_host_and_port)]
"""Host and port to listen on."""


class ServiceSettings(BaseSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    model_config = SettingsConfigDict(env_prefix="COMFYMESH_", extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(  # the name is the library's
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Files of secrets stand before the environment, which may have a default for them."""
        return init_settings, SecretFiles(settings_cls), env_settings

    secrets_dir: str = Field(
        "",
        description="Folder of files, each with the name of a variable of this page, such as COMFYMESH_NATS_URL, and"
        " its value. Those stand before the environment; an empty one does not count.",
    )
    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        description="NATS servers, separated by commas.",
        json_schema_extra=MAY_BE_SECRET,
    )
    nats_replicas: int = Field(1, ge=1, le=5, description="Copies of each stream; 3 on a cluster of three servers.")
    nats_monitor_url: str = Field(
        "",
        description="Monitoring ports of the NATS servers, such as http://127.0.0.1:8222, separated by commas. They are"
        " asked once, at the start, how soon the server syncs, which it tells nowhere else.",
    )
    nats_tls_ca: str = Field(
        "", description="PEM file of who signs the NATS servers' certificates. With it, or tls:// URLs, TLS is a must."
    )
    nats_tls_certificate: str = Field("", description="PEM file of our certificate, where NATS wants one.")
    nats_tls_key: str = Field("", description="PEM file of its private key.")
    progress_retention_seconds: float = Field(
        3600.0,
        gt=0,
        description="For how long the latest progress of a task is kept for late watchers. The same for all services."
        " Seconds.",
    )
    artifacts_url: str = Field(
        "nats:",
        description="Where artifacts are kept: `nats:` for NATS itself, or file:///..., s3://..., gs://..., az://...",
    )

    @field_validator("nats_url")
    @classmethod
    def _names_servers(cls, value: str) -> str:
        # The message leaves the value out: it may hold a password.
        if not all(_has_host(url) for url in value.split(",")):
            raise ValueError(
                "must be URLs such as nats://HOST:4222 or nats://USER:PASSWORD@HOST:4222, with commas between"
            )
        return value

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_redact: bool = Field(
        default=True, description="Whether what looks like a secret, and what is prose in graphs, is taken out of logs."
    )
    otlp_endpoint: str = Field("", description="OTLP/gRPC endpoint for traces and metrics; none are sent when empty.")
    trace_ratio: float = Field(1.0, ge=0, le=1, description="Share of new traces that are recorded.")
    metrics_listen: str = Field(
        "",
        description="Where metrics are shown to Prometheus, such as 127.0.0.1:9464; empty: nowhere. Whoever reaches it"
        " sees names of tenants and models.",
    )
    health_file: str = Field(
        "",
        description="File in which the service says every two seconds whether it works, for `comfymesh-health`; none"
        " where empty. The api writes none: it answers grpc.health.v1.",
    )
    metrics_sample_seconds: float = Field(
        5.0, gt=0, description="How often queues, GPUs and the process itself are looked at for metrics. Seconds."
    )

    @field_validator("metrics_listen")
    @classmethod
    def _names_a_port(cls, value: str) -> str:
        return _host_and_port(value) if value else value


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.scheme and parts.hostname and (parts.port is None or parts.port > 0))
    except ValueError:
        return False


class LogReaderSettings(ServiceSettings):
    """Settings of a service that follows the task log."""

    checkpoint_dir: str = Field(
        "",
        description="Folder of this host in which the service keeps what it has made of the task log, so that its next"
        " start reads only what came since then. Several may share it. The log is read as a whole where it is empty.",
    )
