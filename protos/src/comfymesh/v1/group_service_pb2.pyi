from comfymesh.v1 import group_pb2 as _group_pb2
from comfymesh.v1 import task_pb2 as _task_pb2
from comfymesh.v1 import task_service_pb2 as _task_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetGroupRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class CancelGroupRequest(_message.Message):
    __slots__ = ("name", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelGroupResponse(_message.Message):
    __slots__ = ("group", "cancelled_count")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    cancelled_count: int
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ..., cancelled_count: _Optional[int] = ...) -> None: ...

class WatchGroupRequest(_message.Message):
    __slots__ = ("name", "task_count", "resume_token", "max_changes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MAX_CHANGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    task_count: int
    resume_token: str
    max_changes: int
    def __init__(self, name: _Optional[str] = ..., task_count: _Optional[int] = ..., resume_token: _Optional[str] = ..., max_changes: _Optional[int] = ...) -> None: ...

class WatchGroupResponse(_message.Message):
    __slots__ = ("resume_token", "task", "group", "caught_up", "heartbeat", "passed")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    task: _task_pb2.Task
    group: _group_pb2.Group
    caught_up: _task_service_pb2.CaughtUp
    heartbeat: _task_pb2.Heartbeat
    passed: _containers.RepeatedCompositeFieldContainer[_task_service_pb2.PassedChange]
    def __init__(self, resume_token: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ..., caught_up: _Optional[_Union[_task_service_pb2.CaughtUp, _Mapping]] = ..., heartbeat: _Optional[_Union[_task_pb2.Heartbeat, _Mapping]] = ..., passed: _Optional[_Iterable[_Union[_task_service_pb2.PassedChange, _Mapping]]] = ...) -> None: ...
