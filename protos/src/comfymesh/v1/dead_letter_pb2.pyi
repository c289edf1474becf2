from comfymesh.v1 import error_reason_pb2 as _error_reason_pb2
from comfymesh.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeadLetter(_message.Message):
    __slots__ = ("task", "failures")
    TASK_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    failures: _containers.RepeatedCompositeFieldContainer[AttemptFailure]
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[AttemptFailure, _Mapping]]] = ...) -> None: ...

class AttemptFailure(_message.Message):
    __slots__ = ("attempt", "node", "instance", "reason", "time")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    node: str
    instance: str
    reason: _error_reason_pb2.ErrorReason
    time: _timestamp_pb2.Timestamp
    def __init__(self, attempt: _Optional[int] = ..., node: _Optional[str] = ..., instance: _Optional[str] = ..., reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DeadLetterFilter(_message.Message):
    __slots__ = ("reasons", "labels", "group", "failed_after", "failed_before")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASONS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    FAILED_AFTER_FIELD_NUMBER: _ClassVar[int]
    FAILED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    reasons: _containers.RepeatedScalarFieldContainer[_error_reason_pb2.ErrorReason]
    labels: _containers.ScalarMap[str, str]
    group: str
    failed_after: _timestamp_pb2.Timestamp
    failed_before: _timestamp_pb2.Timestamp
    def __init__(self, reasons: _Optional[_Iterable[_Union[_error_reason_pb2.ErrorReason, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., group: _Optional[str] = ..., failed_after: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., failed_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
