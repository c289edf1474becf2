from comfymesh.v1 import node_pb2 as _node_pb2
from comfymesh.wire.v1 import spec_pb2 as _spec_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeReport(_message.Message):
    __slots__ = ("node", "boot_id", "sequence", "attempts", "offers", "work_sequence")
    NODE_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    WORK_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    boot_id: str
    sequence: int
    attempts: _containers.RepeatedCompositeFieldContainer[HeldAttempt]
    offers: _containers.RepeatedCompositeFieldContainer[Offer]
    work_sequence: int
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., boot_id: _Optional[str] = ..., sequence: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[HeldAttempt, _Mapping]]] = ..., offers: _Optional[_Iterable[_Union[Offer, _Mapping]]] = ..., work_sequence: _Optional[int] = ...) -> None: ...

class HeldAttempt(_message.Message):
    __slots__ = ("tenant", "task_id", "attempt", "instance")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    task_id: str
    attempt: int
    instance: str
    def __init__(self, tenant: _Optional[str] = ..., task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., instance: _Optional[str] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("instance", "catalog")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    instance: str
    catalog: _spec_pb2.BlobRef
    def __init__(self, instance: _Optional[str] = ..., catalog: _Optional[_Union[_spec_pb2.BlobRef, _Mapping]] = ...) -> None: ...
