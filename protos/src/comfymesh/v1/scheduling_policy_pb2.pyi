from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SchedulingPolicy(_message.Message):
    __slots__ = ("etag", "update_time", "tenants", "affinity", "load_aversion", "spread_after", "stay", "burst", "priority_factor", "patience", "breaker_failures", "breaker_seconds", "reserve_after", "reserve_seconds", "preempt_after", "preempt_running")
    class TenantsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: TenantPolicy
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[TenantPolicy, _Mapping]] = ...) -> None: ...
    ETAG_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    LOAD_AVERSION_FIELD_NUMBER: _ClassVar[int]
    SPREAD_AFTER_FIELD_NUMBER: _ClassVar[int]
    STAY_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FACTOR_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FAILURES_FIELD_NUMBER: _ClassVar[int]
    BREAKER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RESERVE_AFTER_FIELD_NUMBER: _ClassVar[int]
    RESERVE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PREEMPT_AFTER_FIELD_NUMBER: _ClassVar[int]
    PREEMPT_RUNNING_FIELD_NUMBER: _ClassVar[int]
    etag: str
    update_time: _timestamp_pb2.Timestamp
    tenants: _containers.MessageMap[str, TenantPolicy]
    affinity: bool
    load_aversion: float
    spread_after: float
    stay: float
    burst: float
    priority_factor: float
    patience: float
    breaker_failures: int
    breaker_seconds: float
    reserve_after: float
    reserve_seconds: float
    preempt_after: float
    preempt_running: bool
    def __init__(self, etag: _Optional[str] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., tenants: _Optional[_Mapping[str, TenantPolicy]] = ..., affinity: bool = ..., load_aversion: _Optional[float] = ..., spread_after: _Optional[float] = ..., stay: _Optional[float] = ..., burst: _Optional[float] = ..., priority_factor: _Optional[float] = ..., patience: _Optional[float] = ..., breaker_failures: _Optional[int] = ..., breaker_seconds: _Optional[float] = ..., reserve_after: _Optional[float] = ..., reserve_seconds: _Optional[float] = ..., preempt_after: _Optional[float] = ..., preempt_running: bool = ...) -> None: ...

class TenantPolicy(_message.Message):
    __slots__ = ("weight", "max_running")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    weight: float
    max_running: int
    def __init__(self, weight: _Optional[float] = ..., max_running: _Optional[int] = ...) -> None: ...
