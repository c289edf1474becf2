from comfymesh.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Workflow(_message.Message):
    __slots__ = ("name", "display_name", "description", "labels", "graph_json", "inputs", "default_version", "latest_version", "create_time", "update_time", "delete_time", "etag")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_JSON_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LATEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    description: str
    labels: _containers.ScalarMap[str, str]
    graph_json: str
    inputs: _containers.RepeatedCompositeFieldContainer[WorkflowInput]
    default_version: int
    latest_version: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    delete_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., description: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., graph_json: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[WorkflowInput, _Mapping]]] = ..., default_version: _Optional[int] = ..., latest_version: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., delete_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class WorkflowVersion(_message.Message):
    __slots__ = ("name", "number", "graph_json", "inputs", "graph_digest", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    GRAPH_JSON_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    graph_json: str
    inputs: _containers.RepeatedCompositeFieldContainer[WorkflowInput]
    graph_digest: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., graph_json: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[WorkflowInput, _Mapping]]] = ..., graph_digest: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WorkflowInput(_message.Message):
    __slots__ = ("name", "kind", "targets", "description", "required", "default_value", "minimum", "maximum", "options")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[WorkflowInput.Kind]
        KIND_STRING: _ClassVar[WorkflowInput.Kind]
        KIND_INTEGER: _ClassVar[WorkflowInput.Kind]
        KIND_FLOAT: _ClassVar[WorkflowInput.Kind]
        KIND_BOOL: _ClassVar[WorkflowInput.Kind]
        KIND_ENUM: _ClassVar[WorkflowInput.Kind]
        KIND_IMAGE: _ClassVar[WorkflowInput.Kind]
        KIND_MASK: _ClassVar[WorkflowInput.Kind]
        KIND_AUDIO: _ClassVar[WorkflowInput.Kind]
        KIND_VIDEO: _ClassVar[WorkflowInput.Kind]
    KIND_UNSPECIFIED: WorkflowInput.Kind
    KIND_STRING: WorkflowInput.Kind
    KIND_INTEGER: WorkflowInput.Kind
    KIND_FLOAT: WorkflowInput.Kind
    KIND_BOOL: WorkflowInput.Kind
    KIND_ENUM: WorkflowInput.Kind
    KIND_IMAGE: WorkflowInput.Kind
    KIND_MASK: WorkflowInput.Kind
    KIND_AUDIO: WorkflowInput.Kind
    KIND_VIDEO: WorkflowInput.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: WorkflowInput.Kind
    targets: _containers.RepeatedCompositeFieldContainer[InputTarget]
    description: str
    required: bool
    default_value: _task_pb2.InputValue
    minimum: _task_pb2.InputValue
    maximum: _task_pb2.InputValue
    options: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[WorkflowInput.Kind, str]] = ..., targets: _Optional[_Iterable[_Union[InputTarget, _Mapping]]] = ..., description: _Optional[str] = ..., required: bool = ..., default_value: _Optional[_Union[_task_pb2.InputValue, _Mapping]] = ..., minimum: _Optional[_Union[_task_pb2.InputValue, _Mapping]] = ..., maximum: _Optional[_Union[_task_pb2.InputValue, _Mapping]] = ..., options: _Optional[_Iterable[str]] = ...) -> None: ...

class InputTarget(_message.Message):
    __slots__ = ("graph_node", "input")
    GRAPH_NODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    graph_node: str
    input: str
    def __init__(self, graph_node: _Optional[str] = ..., input: _Optional[str] = ...) -> None: ...

class WorkflowViolation(_message.Message):
    __slots__ = ("severity", "type", "message", "graph_node", "graph_node_class", "input", "workflow_input", "nearest", "dropped_outputs", "offering_instance_count")
    class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SEVERITY_UNSPECIFIED: _ClassVar[WorkflowViolation.Severity]
        SEVERITY_ERROR: _ClassVar[WorkflowViolation.Severity]
        SEVERITY_WARNING: _ClassVar[WorkflowViolation.Severity]
    SEVERITY_UNSPECIFIED: WorkflowViolation.Severity
    SEVERITY_ERROR: WorkflowViolation.Severity
    SEVERITY_WARNING: WorkflowViolation.Severity
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODE_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODE_CLASS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_INPUT_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    DROPPED_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    OFFERING_INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    severity: WorkflowViolation.Severity
    type: str
    message: str
    graph_node: str
    graph_node_class: str
    input: str
    workflow_input: str
    nearest: _containers.RepeatedScalarFieldContainer[str]
    dropped_outputs: _containers.RepeatedScalarFieldContainer[str]
    offering_instance_count: int
    def __init__(self, severity: _Optional[_Union[WorkflowViolation.Severity, str]] = ..., type: _Optional[str] = ..., message: _Optional[str] = ..., graph_node: _Optional[str] = ..., graph_node_class: _Optional[str] = ..., input: _Optional[str] = ..., workflow_input: _Optional[str] = ..., nearest: _Optional[_Iterable[str]] = ..., dropped_outputs: _Optional[_Iterable[str]] = ..., offering_instance_count: _Optional[int] = ...) -> None: ...
