from comfymesh.v1 import workflow_pb2 as _workflow_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkflowRecord(_message.Message):
    __slots__ = ("workflow", "versions")
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    workflow: _workflow_pb2.Workflow
    versions: _containers.RepeatedCompositeFieldContainer[WorkflowVersionRef]
    def __init__(self, workflow: _Optional[_Union[_workflow_pb2.Workflow, _Mapping]] = ..., versions: _Optional[_Iterable[_Union[WorkflowVersionRef, _Mapping]]] = ...) -> None: ...

class WorkflowVersionRef(_message.Message):
    __slots__ = ("number", "digest", "size_bytes", "graph_digest", "create_time")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    number: int
    digest: str
    size_bytes: int
    graph_digest: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., graph_digest: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WorkflowContent(_message.Message):
    __slots__ = ("inputs", "graph_zlib")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_ZLIB_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[_workflow_pb2.WorkflowInput]
    graph_zlib: bytes
    def __init__(self, inputs: _Optional[_Iterable[_Union[_workflow_pb2.WorkflowInput, _Mapping]]] = ..., graph_zlib: _Optional[bytes] = ...) -> None: ...
