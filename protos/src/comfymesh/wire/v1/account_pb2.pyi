from comfymesh.v1 import key_pb2 as _key_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyRecord(_message.Message):
    __slots__ = ("key", "secret_sha256")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_SHA256_FIELD_NUMBER: _ClassVar[int]
    key: _key_pb2.Key
    secret_sha256: bytes
    def __init__(self, key: _Optional[_Union[_key_pb2.Key, _Mapping]] = ..., secret_sha256: _Optional[bytes] = ...) -> None: ...
