"""Settings of the notifier."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from comfymesh.egress.settings import EgressSettings
from comfymesh.notifier.domain.signing import key_of


class NotifierSettings(EgressSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    notifier_rules: Path | None = Field(
        None, description="The alert rules, a YAML file (docs/alerts.md). Without one nobody is told of anything."
    )
    notifier_log: Path | None = Field(
        None, description="File that takes a line of JSON for everything that was told. None is written where empty."
    )
    notifier_docs_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Address below which this repository's pages can be read, such as https://wiki.example/comfymesh/."
        " Runbooks of rules that are paths then lead there.",
    )
    notifier_webhook_secrets: SecretStr = Field(
        SecretStr(""),
        description="Secrets that callbacks of tasks are signed with, separated by commas: whsec_ and base64 of 24 to"
        " 64 bytes. Of several each makes a signature, so that receivers can change over. Without one no callback is"
        " made.",
    )
    notifier_webhook_seconds: float = Field(
        20.0, gt=0, le=300, description="How long one try of a callback may take. Seconds."
    )

    @field_validator("notifier_webhook_secrets")
    @classmethod
    def _are_secrets(cls, value: SecretStr) -> SecretStr:
        _keys(value)
        return value

    @property
    def webhook_keys(self) -> list[bytes]:
        """The keys that callbacks are signed with."""
        return _keys(self.notifier_webhook_secrets)


def _keys(secrets: SecretStr) -> list[bytes]:
    return [key_of(secret) for secret in secrets.get_secret_value().split(",") if secret.strip()]
