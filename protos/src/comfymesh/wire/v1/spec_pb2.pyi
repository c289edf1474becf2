from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Spec(_message.Message):
    __slots__ = ("graph_zlib", "graph_blob", "assets", "urls", "url_hosts")
    GRAPH_ZLIB_FIELD_NUMBER: _ClassVar[int]
    GRAPH_BLOB_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    URL_HOSTS_FIELD_NUMBER: _ClassVar[int]
    graph_zlib: bytes
    graph_blob: BlobRef
    assets: _containers.RepeatedCompositeFieldContainer[AssetBinding]
    urls: _containers.RepeatedCompositeFieldContainer[UrlBinding]
    url_hosts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, graph_zlib: _Optional[bytes] = ..., graph_blob: _Optional[_Union[BlobRef, _Mapping]] = ..., assets: _Optional[_Iterable[_Union[AssetBinding, _Mapping]]] = ..., urls: _Optional[_Iterable[_Union[UrlBinding, _Mapping]]] = ..., url_hosts: _Optional[_Iterable[str]] = ...) -> None: ...

class BlobRef(_message.Message):
    __slots__ = ("sha256", "size_bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    size_bytes: int
    def __init__(self, sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class AssetBinding(_message.Message):
    __slots__ = ("graph_node", "input", "blob", "filename")
    GRAPH_NODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    graph_node: str
    input: str
    blob: BlobRef
    filename: str
    def __init__(self, graph_node: _Optional[str] = ..., input: _Optional[str] = ..., blob: _Optional[_Union[BlobRef, _Mapping]] = ..., filename: _Optional[str] = ...) -> None: ...

class UrlBinding(_message.Message):
    __slots__ = ("graph_node", "input", "url", "kind")
    GRAPH_NODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    graph_node: str
    input: str
    url: str
    kind: str
    def __init__(self, graph_node: _Optional[str] = ..., input: _Optional[str] = ..., url: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class AssetRecord(_message.Message):
    __slots__ = ("blob", "filename", "media_type", "create_time", "use_time")
    BLOB_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    USE_TIME_FIELD_NUMBER: _ClassVar[int]
    blob: BlobRef
    filename: str
    media_type: str
    create_time: float
    use_time: float
    def __init__(self, blob: _Optional[_Union[BlobRef, _Mapping]] = ..., filename: _Optional[str] = ..., media_type: _Optional[str] = ..., create_time: _Optional[float] = ..., use_time: _Optional[float] = ...) -> None: ...

class UploadRecord(_message.Message):
    __slots__ = ("blob", "filename", "parts", "expire_time")
    BLOB_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    blob: BlobRef
    filename: str
    parts: _containers.RepeatedCompositeFieldContainer[BlobRef]
    expire_time: float
    def __init__(self, blob: _Optional[_Union[BlobRef, _Mapping]] = ..., filename: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[BlobRef, _Mapping]]] = ..., expire_time: _Optional[float] = ...) -> None: ...
