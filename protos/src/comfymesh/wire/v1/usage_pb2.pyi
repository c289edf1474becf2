from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageHour(_message.Message):
    __slots__ = ("log", "sequence", "sums")
    LOG_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    log: str
    sequence: int
    sums: _containers.RepeatedCompositeFieldContainer[UsageSum]
    def __init__(self, log: _Optional[str] = ..., sequence: _Optional[int] = ..., sums: _Optional[_Iterable[_Union[UsageSum, _Mapping]]] = ...) -> None: ...

class UsageSum(_message.Message):
    __slots__ = ("workflow", "models", "gpu_class", "outcome", "attempts", "load_micros", "run_micros")
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    GPU_CLASS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LOAD_MICROS_FIELD_NUMBER: _ClassVar[int]
    RUN_MICROS_FIELD_NUMBER: _ClassVar[int]
    workflow: str
    models: _containers.RepeatedScalarFieldContainer[str]
    gpu_class: str
    outcome: str
    attempts: int
    load_micros: int
    run_micros: int
    def __init__(self, workflow: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., gpu_class: _Optional[str] = ..., outcome: _Optional[str] = ..., attempts: _Optional[int] = ..., load_micros: _Optional[int] = ..., run_micros: _Optional[int] = ...) -> None: ...

class UsagePosition(_message.Message):
    __slots__ = ("log", "sequence", "time")
    LOG_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    log: str
    sequence: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, log: _Optional[str] = ..., sequence: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
