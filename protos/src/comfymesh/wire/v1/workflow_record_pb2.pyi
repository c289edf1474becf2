from comfymesh.v1 import workflow_pb2 as _workflow_pb2
from comfymesh.wire.v1 import spec_pb2 as _spec_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkflowRecord(_message.Message):
    __slots__ = ("workflow", "size_bytes", "removed")
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    workflow: _workflow_pb2.Workflow
    size_bytes: int
    removed: bool
    def __init__(self, workflow: _Optional[_Union[_workflow_pb2.Workflow, _Mapping]] = ..., size_bytes: _Optional[int] = ..., removed: bool = ...) -> None: ...

class WorkflowVersionRecord(_message.Message):
    __slots__ = ("version", "spec")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    version: _workflow_pb2.WorkflowVersion
    spec: _spec_pb2.Spec
    def __init__(self, version: _Optional[_Union[_workflow_pb2.WorkflowVersion, _Mapping]] = ..., spec: _Optional[_Union[_spec_pb2.Spec, _Mapping]] = ...) -> None: ...
