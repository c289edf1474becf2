from comfymesh.v1 import dead_letter_pb2 as _dead_letter_pb2
from comfymesh.v1 import task_pb2 as _task_pb2
from comfymesh.v1 import task_service_pb2 as _task_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "filter", "include_resolved")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_RESOLVED_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    filter: _dead_letter_pb2.DeadLetterFilter
    include_resolved: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[_dead_letter_pb2.DeadLetterFilter, _Mapping]] = ..., include_resolved: bool = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[_dead_letter_pb2.DeadLetter]
    next_page_token: str
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[_dead_letter_pb2.DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDeadLetterRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetDeadLetterResponse(_message.Message):
    __slots__ = ("dead_letter",)
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    dead_letter: _dead_letter_pb2.DeadLetter
    def __init__(self, dead_letter: _Optional[_Union[_dead_letter_pb2.DeadLetter, _Mapping]] = ...) -> None: ...

class RequeueDeadLettersRequest(_message.Message):
    __slots__ = ("names", "filter")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    filter: _dead_letter_pb2.DeadLetterFilter
    def __init__(self, names: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_dead_letter_pb2.DeadLetterFilter, _Mapping]] = ...) -> None: ...

class RequeueDeadLettersResponse(_message.Message):
    __slots__ = ("results", "more")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RequeueDeadLettersResult]
    more: bool
    def __init__(self, results: _Optional[_Iterable[_Union[RequeueDeadLettersResult, _Mapping]]] = ..., more: bool = ...) -> None: ...

class RequeueDeadLettersResult(_message.Message):
    __slots__ = ("name", "task", "refusal")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: _task_pb2.Task
    refusal: _task_service_pb2.Refusal
    def __init__(self, name: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., refusal: _Optional[_Union[_task_service_pb2.Refusal, _Mapping]] = ...) -> None: ...

class DropDeadLettersRequest(_message.Message):
    __slots__ = ("names", "filter")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    filter: _dead_letter_pb2.DeadLetterFilter
    def __init__(self, names: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_dead_letter_pb2.DeadLetterFilter, _Mapping]] = ...) -> None: ...

class DropDeadLettersResponse(_message.Message):
    __slots__ = ("results", "more")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DropDeadLettersResult]
    more: bool
    def __init__(self, results: _Optional[_Iterable[_Union[DropDeadLettersResult, _Mapping]]] = ..., more: bool = ...) -> None: ...

class DropDeadLettersResult(_message.Message):
    __slots__ = ("name", "task", "refusal")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: _task_pb2.Task
    refusal: _task_service_pb2.Refusal
    def __init__(self, name: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., refusal: _Optional[_Union[_task_service_pb2.Refusal, _Mapping]] = ...) -> None: ...
