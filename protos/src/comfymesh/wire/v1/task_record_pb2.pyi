from comfymesh.v1 import error_reason_pb2 as _error_reason_pb2
from comfymesh.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskRecord(_message.Message):
    __slots__ = ("task", "tenant", "task_id", "request_digest", "spec", "requirements", "failures", "not_before", "event", "trace_parent", "releases", "small_artifacts", "work")
    class SmallArtifactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    TASK_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TRACE_PARENT_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    SMALL_ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    tenant: str
    task_id: str
    request_digest: str
    spec: SpecRef
    requirements: Requirements
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    not_before: _timestamp_pb2.Timestamp
    event: str
    trace_parent: str
    releases: int
    small_artifacts: _containers.ScalarMap[str, bytes]
    work: GraphWork
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., tenant: _Optional[str] = ..., task_id: _Optional[str] = ..., request_digest: _Optional[str] = ..., spec: _Optional[_Union[SpecRef, _Mapping]] = ..., requirements: _Optional[_Union[Requirements, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ..., not_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., event: _Optional[str] = ..., trace_parent: _Optional[str] = ..., releases: _Optional[int] = ..., small_artifacts: _Optional[_Mapping[str, bytes]] = ..., work: _Optional[_Union[GraphWork, _Mapping]] = ...) -> None: ...

class GraphWork(_message.Message):
    __slots__ = ("shape", "units")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    shape: str
    units: float
    def __init__(self, shape: _Optional[str] = ..., units: _Optional[float] = ...) -> None: ...

class SpecRef(_message.Message):
    __slots__ = ("digest", "size_bytes", "small", "blobs", "blobs_known")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SMALL_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_KNOWN_FIELD_NUMBER: _ClassVar[int]
    digest: str
    size_bytes: int
    small: bytes
    blobs: _containers.RepeatedScalarFieldContainer[bytes]
    blobs_known: bool
    def __init__(self, digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., small: _Optional[bytes] = ..., blobs: _Optional[_Iterable[bytes]] = ..., blobs_known: bool = ...) -> None: ...

class Requirements(_message.Message):
    __slots__ = ("node_classes", "models")
    NODE_CLASSES_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    node_classes: _containers.RepeatedScalarFieldContainer[str]
    models: _containers.RepeatedCompositeFieldContainer[ModelFile]
    def __init__(self, node_classes: _Optional[_Iterable[str]] = ..., models: _Optional[_Iterable[_Union[ModelFile, _Mapping]]] = ...) -> None: ...

class ModelFile(_message.Message):
    __slots__ = ("node_class", "input", "name")
    NODE_CLASS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    node_class: str
    input: str
    name: str
    def __init__(self, node_class: _Optional[str] = ..., input: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("attempt", "node", "instance", "reason", "time", "busy_seconds")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    BUSY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    node: str
    instance: str
    reason: _error_reason_pb2.ErrorReason
    time: _timestamp_pb2.Timestamp
    busy_seconds: float
    def __init__(self, attempt: _Optional[int] = ..., node: _Optional[str] = ..., instance: _Optional[str] = ..., reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., busy_seconds: _Optional[float] = ...) -> None: ...
