from comfymesh.v1 import node_pb2 as _node_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeIntent(_message.Message):
    __slots__ = ("availability", "reason", "preloads")
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PRELOADS_FIELD_NUMBER: _ClassVar[int]
    availability: _node_pb2.Node.Availability
    reason: str
    preloads: _containers.RepeatedCompositeFieldContainer[_node_pb2.Preload]
    def __init__(self, availability: _Optional[_Union[_node_pb2.Node.Availability, str]] = ..., reason: _Optional[str] = ..., preloads: _Optional[_Iterable[_Union[_node_pb2.Preload, _Mapping]]] = ...) -> None: ...
