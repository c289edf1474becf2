"""docs/configuration.md, made from the classes of settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Literal, Union, cast, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.settings_change import LIVE
from comfymesh.api.settings import ApiSettings
from comfymesh.egress.settings import EgressSettings, InputUrlSettings
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.notifier.settings import NotifierSettings
from comfymesh.runtime.settings import LogReaderSettings, ServiceSettings
from comfymesh.scheduler.settings import SchedulerSettings

SERVICES: Mapping[str, type[ServiceSettings]] = MappingProxyType(
    {
        "api": ApiSettings,
        "scheduler": SchedulerSettings,
        "notifier": NotifierSettings,
        "agent": AgentSettings,
        "gateway": GatewaySettings,
    }
)
"""The settings of each service, by its name."""

_SECTIONS: Mapping[str, type[ServiceSettings]] = MappingProxyType(
    {
        "All services": ServiceSettings,
        "Who follows the task log": LogReaderSettings,
        "Who takes inputs by URL": InputUrlSettings,
        "Who calls URLs of callers": EgressSettings,
        "Api": ApiSettings,
        "Scheduler": SchedulerSettings,
        "Notifier": NotifierSettings,
        "Agent": AgentSettings,
        "Gateway": GatewaySettings,
    }
)
"""Each class with the settings that it adds to those it is derived from."""

_HEAD = """# Configuration

<!-- Made by `make docs` from the classes of settings (services/*/src/comfymesh/*/settings.py). Change those. -->

Services read their settings from environment variables when they start. One that is wrong ends the service with exit
code 78, and the log names every variable that is wrong, and why. Variables that no service knows are ignored; the log
of each start names them, and the setting that may have been meant.

| column | says |
| --- | --- |
| type | what is taken; a *list* has commas between its items |
| secret | `yes`: it is one. `may be`: it may hold one, such as a password in a URL or a variable of an instance |
| reload | `agent`: an agent takes it over [while it runs](agent.md#reload). All else holds from the next start on |

Files of certificates and keys that settings name are read again when they change
([security](security.md#encryption)). What operators change while the mesh runs is no setting: the policy of
[scheduling](scheduling.md); tenants, keys and quotas ([security](security.md)). Variables of the command line are in
`comfymesh --help`, those of a NATS server in [NATS](nats.md), credentials of stores in [assets](assets.md#stores).
"""

_COLUMNS = (
    "| variable | type | unit | default | secret | reload | what it does |\n| --- | --- | --- | --- | --- | --- | --- |"
)
_UNIT = re.compile(r" (Seconds|Hours|Days)\.$")
_TYPES: Mapping[object, str] = MappingProxyType(
    {
        str: "text",
        SecretStr: "text",
        bool: "`true` or `false`",
        int: "integer",
        float: "number",
        Path: "path",
        tuple: "list",
        list: "JSON list",
        dict: "JSON object",
    }
)
_EMPTY: Mapping[object, str] = MappingProxyType({list: "`[]`", dict: "`{}`"})
_SIGNS: Mapping[str, str] = MappingProxyType({"ge": ">=", "gt": ">", "le": "<=", "lt": "<"})


def page() -> str:
    """The page."""
    return "\n".join([_HEAD, *(line for title, cls in _SECTIONS.items() for line in _section(title, cls))])


def own(cls: type[ServiceSettings]) -> dict[str, FieldInfo]:
    """The settings that a class adds to those that it is derived from."""
    inherited = {name for base in cls.__mro__[1:] if issubclass(base, ServiceSettings) for name in base.model_fields}
    return {name: field for name, field in cls.model_fields.items() if name not in inherited}


def _section(title: str, cls: type[ServiceSettings]) -> Iterator[str]:
    services = [name for name, settings in SERVICES.items() if issubclass(settings, cls)]
    yield f"## {title}\n"
    if len(services) > 1:
        yield f"For {', '.join(services)}.\n"
    else:
        bases = (base for base, other in _SECTIONS.items() if cls is not other and issubclass(cls, other))
        yield f"Its own, beside those of {_links(bases)}.\n"
    yield _COLUMNS
    yield from (_row(name, field) for name, field in own(cls).items())
    yield ""


def _links(titles: Iterable[str]) -> str:
    return ", ".join(f"[{title.lower()}](#{title.lower().replace(' ', '-')})" for title in titles)


def _row(name: str, field: FieldInfo) -> str:
    unit, tells = _unit(name, field.description or "")
    reload = "agent" if name in LIVE else ""
    cells = (variable(name), _type(field), unit, _default(field), _secret(field), reload, tells)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def variable(name: str) -> str:
    """The environment variable of a setting, as code."""
    return f"`COMFYMESH_{name.upper()}`"


def _unit(name: str, description: str) -> tuple[str, str]:
    """Its unit, and the description without it."""
    if found := _UNIT.search(description):
        return found[1].lower(), description[: found.start()]
    return ("bytes" if name.endswith("_bytes") else ""), description


def _type(field: FieldInfo) -> str:
    rules = [(sign, getattr(rule, key, None)) for rule in field.metadata for key, sign in _SIGNS.items()]
    bounds = [f"{sign} {bound}" for sign, bound in rules if bound is not None]
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (Union, UnionType):
        return _type_name(next(part for part in arguments if part is not NoneType))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    return _TYPES[origin or annotation]


def _default(field: FieldInfo) -> str:
    """The default, as it would be written into the variable; of one that the host decides, what that is."""
    if (factory := cast("Callable[[], object] | None", field.default_factory)) is not None:
        return _EMPTY.get(factory) or (factory.__doc__ or "").removesuffix(".")
    return _written(field.default)


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, float):
        value = f"{value:g}"
    return "" if value in ("", None) else f"`{value}`"


def _secret(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    told = extra.get("secret", "") if isinstance(extra, dict) else ""
    return "yes" if field.annotation is SecretStr else str(told)


def main() -> None:
    """Print the page."""
    print(page(), end="")  # noqa: T201  # that is what it is for


if __name__ == "__main__":
    main()
