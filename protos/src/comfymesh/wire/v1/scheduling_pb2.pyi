from comfymesh.v1 import queue_pb2 as _queue_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SchedulingQuestion(_message.Message):
    __slots__ = ("reply_to", "number", "tasks", "queue")
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    reply_to: str
    number: int
    tasks: _containers.RepeatedCompositeFieldContainer[TaskKey]
    queue: bool
    def __init__(self, reply_to: _Optional[str] = ..., number: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[TaskKey, _Mapping]]] = ..., queue: bool = ...) -> None: ...

class TaskKey(_message.Message):
    __slots__ = ("tenant", "task_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    task_id: str
    def __init__(self, tenant: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class SchedulingAnswer(_message.Message):
    __slots__ = ("number", "tasks", "queue")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    number: int
    tasks: _containers.RepeatedCompositeFieldContainer[WaitingTask]
    queue: _queue_pb2.Queue
    def __init__(self, number: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[WaitingTask, _Mapping]]] = ..., queue: _Optional[_Union[_queue_pb2.Queue, _Mapping]] = ...) -> None: ...

class WaitingTask(_message.Message):
    __slots__ = ("task", "waiting")
    TASK_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    task: TaskKey
    waiting: _queue_pb2.Waiting
    def __init__(self, task: _Optional[_Union[TaskKey, _Mapping]] = ..., waiting: _Optional[_Union[_queue_pb2.Waiting, _Mapping]] = ...) -> None: ...
