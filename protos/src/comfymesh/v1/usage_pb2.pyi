from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_DIMENSION_UNSPECIFIED: _ClassVar[UsageDimension]
    USAGE_DIMENSION_HOUR: _ClassVar[UsageDimension]
    USAGE_DIMENSION_TENANT: _ClassVar[UsageDimension]
    USAGE_DIMENSION_WORKFLOW: _ClassVar[UsageDimension]
    USAGE_DIMENSION_MODELS: _ClassVar[UsageDimension]
    USAGE_DIMENSION_GPU_CLASS: _ClassVar[UsageDimension]
    USAGE_DIMENSION_OUTCOME: _ClassVar[UsageDimension]
USAGE_DIMENSION_UNSPECIFIED: UsageDimension
USAGE_DIMENSION_HOUR: UsageDimension
USAGE_DIMENSION_TENANT: UsageDimension
USAGE_DIMENSION_WORKFLOW: UsageDimension
USAGE_DIMENSION_MODELS: UsageDimension
USAGE_DIMENSION_GPU_CLASS: UsageDimension
USAGE_DIMENSION_OUTCOME: UsageDimension

class UsageRow(_message.Message):
    __slots__ = ("hour", "tenant", "workflow", "models", "gpu_class", "outcome", "attempts", "load_seconds", "run_seconds", "charged_seconds", "wasted_seconds")
    HOUR_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    GPU_CLASS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RUN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHARGED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WASTED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    hour: _timestamp_pb2.Timestamp
    tenant: str
    workflow: str
    models: _containers.RepeatedScalarFieldContainer[str]
    gpu_class: str
    outcome: str
    attempts: int
    load_seconds: float
    run_seconds: float
    charged_seconds: float
    wasted_seconds: float
    def __init__(self, hour: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., tenant: _Optional[str] = ..., workflow: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., gpu_class: _Optional[str] = ..., outcome: _Optional[str] = ..., attempts: _Optional[int] = ..., load_seconds: _Optional[float] = ..., run_seconds: _Optional[float] = ..., charged_seconds: _Optional[float] = ..., wasted_seconds: _Optional[float] = ...) -> None: ...
