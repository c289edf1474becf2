"""Messages as another version knows them, made from descriptors and not from stubs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

Field = descriptor_pb2.FieldDescriptorProto


class Version:
    """The contract of a version.

    Args:
        files: Its descriptors, each after those that it imports or in any order.
    """

    def __init__(self, files: Iterable[descriptor_pb2.FileDescriptorProto]) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for file in files:
            self._pool.Add(file)

    @classmethod
    def released(cls, path: Path, more: Mapping[str, tuple[str, int]] | None = None) -> Version:
        """One from its descriptor set; `more` are texts that a later version would have: name and number by message."""
        files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
        for file in files:
            for message in file.message_type:
                if added := (more or {}).get(f"{file.package}.{message.name}"):
                    name, number = added
                    message.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
        return cls(files)

    def type(self, name: str) -> Any:
        """The class of a message, by its full name."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def values(self, enum: str) -> set[str]:
        """The names of an enum's values."""
        return set(self._pool.FindEnumTypeByName(enum).values_by_name)

    def method(self, service: str, name: str) -> MethodDescriptor:
        """A method of a service, by its full name."""
        found: MethodDescriptor = self._pool.FindServiceByName(service).methods_by_name[name]
        return found

    def again(self, message: Message) -> bytes:
        """A message, read and written by this version."""
        read: Message = self.type(message.DESCRIPTOR.full_name).FromString(message.SerializeToString())
        return read.SerializeToString()
