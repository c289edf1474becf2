from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PoolDemand(_message.Message):
    __slots__ = ("pools",)
    class Pool(_message.Message):
        __slots__ = ("name", "waiting_count", "waiting_seconds", "oldest_seconds", "served")
        NAME_FIELD_NUMBER: _ClassVar[int]
        WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
        WAITING_SECONDS_FIELD_NUMBER: _ClassVar[int]
        OLDEST_SECONDS_FIELD_NUMBER: _ClassVar[int]
        SERVED_FIELD_NUMBER: _ClassVar[int]
        name: str
        waiting_count: int
        waiting_seconds: float
        oldest_seconds: float
        served: bool
        def __init__(self, name: _Optional[str] = ..., waiting_count: _Optional[int] = ..., waiting_seconds: _Optional[float] = ..., oldest_seconds: _Optional[float] = ..., served: bool = ...) -> None: ...
    POOLS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[PoolDemand.Pool]
    def __init__(self, pools: _Optional[_Iterable[_Union[PoolDemand.Pool, _Mapping]]] = ...) -> None: ...
