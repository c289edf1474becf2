from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tenant(_message.Message):
    __slots__ = ("name", "display_name", "disabled", "limits", "allowance", "create_time", "update_time", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ALLOWANCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    disabled: bool
    limits: Limits
    allowance: Allowance
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., disabled: bool = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., allowance: _Optional[_Union[Allowance, _Mapping]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_waiting_tasks", "gpu_seconds_per_day", "max_stored_bytes", "requests_per_second", "request_burst", "max_workflows")
    MAX_WAITING_TASKS_FIELD_NUMBER: _ClassVar[int]
    GPU_SECONDS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    MAX_STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BURST_FIELD_NUMBER: _ClassVar[int]
    MAX_WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    max_waiting_tasks: int
    gpu_seconds_per_day: int
    max_stored_bytes: int
    requests_per_second: float
    request_burst: int
    max_workflows: int
    def __init__(self, max_waiting_tasks: _Optional[int] = ..., gpu_seconds_per_day: _Optional[int] = ..., max_stored_bytes: _Optional[int] = ..., requests_per_second: _Optional[float] = ..., request_burst: _Optional[int] = ..., max_workflows: _Optional[int] = ...) -> None: ...

class Allowance(_message.Message):
    __slots__ = ("node_classes", "models", "url_hosts")
    NODE_CLASSES_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    URL_HOSTS_FIELD_NUMBER: _ClassVar[int]
    node_classes: _containers.RepeatedScalarFieldContainer[str]
    models: _containers.RepeatedScalarFieldContainer[str]
    url_hosts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_classes: _Optional[_Iterable[str]] = ..., models: _Optional[_Iterable[str]] = ..., url_hosts: _Optional[_Iterable[str]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("waiting_tasks", "running_tasks", "gpu_seconds_today", "stored_bytes", "workflows")
    WAITING_TASKS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    GPU_SECONDS_TODAY_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    waiting_tasks: int
    running_tasks: int
    gpu_seconds_today: float
    stored_bytes: int
    workflows: int
    def __init__(self, waiting_tasks: _Optional[int] = ..., running_tasks: _Optional[int] = ..., gpu_seconds_today: _Optional[float] = ..., stored_bytes: _Optional[int] = ..., workflows: _Optional[int] = ...) -> None: ...
