from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class NodeNamesake(_message.Message):
    __slots__ = ("life", "to", "age_seconds", "host")
    LIFE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    life: str
    to: str
    age_seconds: float
    host: str
    def __init__(self, life: _Optional[str] = ..., to: _Optional[str] = ..., age_seconds: _Optional[float] = ..., host: _Optional[str] = ...) -> None: ...
