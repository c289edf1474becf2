from comfymesh.wire.v1 import task_record_pb2 as _task_record_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Work(_message.Message):
    __slots__ = ("record", "log_sequence", "instance")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    LOG_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    record: _task_record_pb2.TaskRecord
    log_sequence: int
    instance: str
    def __init__(self, record: _Optional[_Union[_task_record_pb2.TaskRecord, _Mapping]] = ..., log_sequence: _Optional[int] = ..., instance: _Optional[str] = ...) -> None: ...

class PreviewInterest(_message.Message):
    __slots__ = ("tenant", "task_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    task_id: str
    def __init__(self, tenant: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class StopAttempt(_message.Message):
    __slots__ = ("tenant", "task_id", "attempt", "reason", "preempted", "running")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PREEMPTED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    task_id: str
    attempt: int
    reason: str
    preempted: bool
    running: bool
    def __init__(self, tenant: _Optional[str] = ..., task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., reason: _Optional[str] = ..., preempted: bool = ..., running: bool = ...) -> None: ...
