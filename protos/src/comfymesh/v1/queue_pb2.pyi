from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Queue(_message.Message):
    __slots__ = ("total", "tenants", "priorities", "model_sets")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    PRIORITIES_FIELD_NUMBER: _ClassVar[int]
    MODEL_SETS_FIELD_NUMBER: _ClassVar[int]
    total: QueueShare
    tenants: _containers.RepeatedCompositeFieldContainer[QueueShare]
    priorities: _containers.RepeatedCompositeFieldContainer[QueueShare]
    model_sets: _containers.RepeatedCompositeFieldContainer[QueueShare]
    def __init__(self, total: _Optional[_Union[QueueShare, _Mapping]] = ..., tenants: _Optional[_Iterable[_Union[QueueShare, _Mapping]]] = ..., priorities: _Optional[_Iterable[_Union[QueueShare, _Mapping]]] = ..., model_sets: _Optional[_Iterable[_Union[QueueShare, _Mapping]]] = ...) -> None: ...

class QueueShare(_message.Message):
    __slots__ = ("tenant", "priority", "models", "waiting_count", "running_count", "oldest_create_time", "start")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    priority: int
    models: _containers.RepeatedScalarFieldContainer[str]
    waiting_count: int
    running_count: int
    oldest_create_time: _timestamp_pb2.Timestamp
    start: Estimate
    def __init__(self, tenant: _Optional[str] = ..., priority: _Optional[int] = ..., models: _Optional[_Iterable[str]] = ..., waiting_count: _Optional[int] = ..., running_count: _Optional[int] = ..., oldest_create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., start: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("remaining", "error")
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    remaining: _duration_pb2.Duration
    error: _duration_pb2.Duration
    def __init__(self, remaining: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., error: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("reason", "instance_count", "rejected", "node", "instance", "start", "end")
    class RejectedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    reason: str
    instance_count: int
    rejected: _containers.ScalarMap[str, int]
    node: str
    instance: str
    start: Estimate
    end: Estimate
    def __init__(self, reason: _Optional[str] = ..., instance_count: _Optional[int] = ..., rejected: _Optional[_Mapping[str, int]] = ..., node: _Optional[str] = ..., instance: _Optional[str] = ..., start: _Optional[_Union[Estimate, _Mapping]] = ..., end: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...
