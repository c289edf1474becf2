"""Makes docs/api.md and docs/service-config.json from the protos. `make protos` runs it, `make check` compares.

Takes a FileDescriptorSet with comments on standard input, as `buf build --as-file-descriptor-set -o -` writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf import descriptor_pb2

from comfymesh.api.access.scopes import SCOPES
from comfymesh.api.errors import status_code_of

_PACKAGE = "comfymesh.v1"
_DOCS = Path(__file__).parent.parent / "docs"
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6  # fields of FileDescriptorProto
_FIELD, _NESTED, _NESTED_ENUM = 2, 3, 4  # fields of DescriptorProto
_PART = 2  # methods of a service, values of an enum

_Field = descriptor_pb2.FieldDescriptorProto
_Method = descriptor_pb2.MethodDescriptorProto
_Path = tuple[int, ...]

_INTRODUCTION = """# The API

Made from [the protos](../protos/comfymesh/v1) by `make protos`; don't edit.

Every error carries a `google.rpc.ErrorInfo` with domain `comfymesh` and one of [these reasons](#reasons). Who
calls, and what scopes are, is told in [security.md](security.md). Clients in languages without an SDK can use
[service-config.json](service-config.json) as gRPC service config; it repeats what is safe to repeat in
any case. Calls that take a `request_id` are safe to repeat with one.
"""


class File:
    """A proto file, with its comments."""

    def __init__(self, proto: descriptor_pb2.FileDescriptorProto) -> None:
        self.proto = proto
        self._comments = {
            tuple(location.path): location.leading_comments for location in proto.source_code_info.location
        }

    def comment(self, *path: int) -> str:
        """What stands before a part, as one paragraph after another."""
        paragraphs = self._comments.get(path, "").strip().split("\n\n")
        return "\n\n".join(" ".join(line.strip() for line in part.splitlines()) for part in paragraphs)

    def short(self, *path: int) -> str:
        """The same in the cell of a table."""
        return self.comment(*path).replace("\n\n", " ").replace("|", "\\|")


def page(files: list[File]) -> str:
    """The whole page."""
    services = [line for file in files for line in _services(file)]
    messages = sorted((name, lines) for file in files for name, lines in _types(file))
    reasons = [line for file in files for line in _reasons(file)]
    parts = [
        _INTRODUCTION,
        *services,
        "## Messages\n",
        *(line for _, lines in messages for line in lines),
        "## Reasons\n",
        *reasons,
    ]
    return "\n".join(parts).rstrip() + "\n"


def service_config(files: list[File]) -> str:
    """What other clients repeat: calls that answered UNAVAILABLE and may be made again, whatever is in them."""
    messages = {f".{_PACKAGE}.{message.name}": message for file in files for message in file.proto.message_type}
    names = [
        {"service": f"{_PACKAGE}.{service.name}", "method": method.name}
        for file in files
        for service in file.proto.service
        for method in service.method
        if method.options.idempotency_level != descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN
        and not _needs_request_id(messages[method.input_type], messages)
    ]
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]}, indent=2) + "\n"


def _needs_request_id(
    message: descriptor_pb2.DescriptorProto, messages: Mapping[str, descriptor_pb2.DescriptorProto]
) -> bool:
    """Whether a request is safe to repeat only with a request ID, which callers may leave out."""
    return any(
        field.name == "request_id"
        or (field.label == _Field.LABEL_REPEATED and "request_id" in _names(messages.get(field.type_name)))
        for field in message.field
    )


def _names(message: descriptor_pb2.DescriptorProto | None) -> set[str]:
    return {field.name for field in message.field} if message else set()


def _services(file: File) -> Iterator[str]:
    for number, service in enumerate(file.proto.service):
        yield f"## {service.name}\n\n{file.comment(_SERVICE, number)}\n"
        for index, method in enumerate(service.method):
            yield f"### {service.name}.{method.name}\n\n{file.comment(_SERVICE, number, _PART, index)}\n"
            scope = SCOPES[f"{_PACKAGE}.{service.name}/{method.name}"]
            yield f"{_signature(method)} Scope `{scope.lower()}`.\n"


def _signature(method: _Method) -> str:
    given = f"{'stream of ' if method.client_streaming else ''}{_link(method.input_type)}"
    told = f"{'stream of ' if method.server_streaming else ''}{_link(method.output_type)}"
    level = descriptor_pb2.MethodOptions.IdempotencyLevel.Name(method.options.idempotency_level)
    again = {"NO_SIDE_EFFECTS": "Changes nothing.", "IDEMPOTENT": "Safe to repeat."}.get(level, "")
    return f"Takes {given}, answers {told}. {again}".rstrip()


def _types(file: File) -> Iterator[tuple[str, list[str]]]:
    for number, message in enumerate(file.proto.message_type):
        yield from _message(file, message, "", (_MESSAGE, number))
    for number, enum in enumerate(file.proto.enum_type):
        if enum.name != "ErrorReason":
            yield _enum(file, enum, "", (_ENUM, number))


def _message(
    file: File, message: descriptor_pb2.DescriptorProto, outer: str, path: _Path
) -> Iterator[tuple[str, list[str]]]:
    name = f"{outer}{message.name}"
    lines = [f"### {name}\n\n{file.comment(*path)}\n"]
    if message.field:
        lines.append("| field | type | |\n| --- | --- | --- |")
        lines += [
            f"| `{field.name}` | {_type(field, message)} | {file.short(*path, _FIELD, index)} |"
            for index, field in enumerate(message.field)
        ]
        lines.append("")
    yield name, lines
    for index, enum in enumerate(message.enum_type):
        yield _enum(file, enum, f"{name}.", (*path, _NESTED_ENUM, index))
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(file, nested, f"{name}.", (*path, _NESTED, index))


def _enum(file: File, enum: descriptor_pb2.EnumDescriptorProto, outer: str, path: _Path) -> tuple[str, list[str]]:
    name = f"{outer}{enum.name}"
    lines = [f"### {name}\n\n{file.comment(*path)}\n", "| value | number | |\n| --- | --- | --- |"]
    lines += [
        f"| `{value.name}` | {value.number} | {file.short(*path, _PART, index)} |"
        for index, value in enumerate(enum.value)
    ]
    return name, [*lines, ""]


def _reasons(file: File) -> Iterator[str]:
    for number, enum in enumerate(file.proto.enum_type):
        if enum.name != "ErrorReason":
            continue
        yield f"{file.comment(_ENUM, number)}\n\n| reason | code of a call | |\n| --- | --- | --- |"
        for index, value in enumerate(enum.value):
            reason = value.name.removeprefix("ERROR_REASON_")
            code = status_code_of(reason)
            yield f"| `{reason}` | {f'`{code}`' if code else ''} | {file.short(_ENUM, number, _PART, index)} |"


def _type(field: _Field, message: descriptor_pb2.DescriptorProto) -> str:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            key, value = (_plain(part) for part in nested.field)
            return f"map of {key} to {value}"
    some = "repeated " if field.label == _Field.LABEL_REPEATED else ""
    return f"{some}{_plain(field)}"


def _plain(field: _Field) -> str:
    return _link(field.type_name) if field.type_name else _Field.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(type_name: str) -> str:
    name = type_name.removeprefix(f".{_PACKAGE}.")
    if name == type_name:
        return f"`{name.removeprefix('.')}`"
    section = "reasons" if name == "ErrorReason" else name.lower().replace(".", "")
    return f"[{name}](#{section})"


def main() -> None:
    """Write both files."""
    found = descriptor_pb2.FileDescriptorSet.FromString(sys.stdin.buffer.read())
    files = sorted((file for file in found.file if file.package == _PACKAGE), key=lambda file: file.name)
    made = [File(file) for file in files]
    (_DOCS / "api.md").write_text(page(made))
    (_DOCS / "service-config.json").write_text(service_config(made))


if __name__ == "__main__":
    main()
