"""Settings of whoever calls URLs of callers, or takes them in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from comfymesh.egress.addresses import networks
from comfymesh.runtime.settings import ServiceSettings


def _split(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


class EgressSettings(ServiceSettings):
    """Of who calls them."""

    egress_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks that URLs of callers may lead to although they are not public, such as 10.1.0.0/16,"
        " separated by commas.",
    )

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        return _split(value)

    @field_validator("egress_allow")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value


class InputUrlSettings(ServiceSettings):
    """Of who takes inputs by URL."""

    input_url_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",),
        description="Hosts that inputs may be fetched from, patterns such as *.example.com, separated by commas. `*`:"
        " any public one; empty: inputs by URL are not taken. The same for api and agents.",
    )

    @field_validator("input_url_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return _split(value)

    @field_validator("input_url_hosts")
    @classmethod
    def _in_lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(pattern.lower() for pattern in value)
