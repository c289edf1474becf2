from comfymesh.v1 import error_reason_pb2 as _error_reason_pb2
from comfymesh.v1 import queue_pb2 as _queue_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Task(_message.Message):
    __slots__ = ("name", "graph_json", "inputs", "display_name", "priority", "labels", "execution_timeout", "max_retries", "allow_partial_outputs", "group", "start_timeout", "callback_url", "callback_states", "placement", "workflow", "state", "state_reason", "error", "attempt", "node", "instance", "artifacts", "create_time", "update_time", "start_time", "end_time", "graph_digest", "requeued_from", "dead_letter_resolution", "requeued_as", "timing", "workflow_version")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Task.State]
        STATE_QUEUED: _ClassVar[Task.State]
        STATE_ASSIGNED: _ClassVar[Task.State]
        STATE_RUNNING: _ClassVar[Task.State]
        STATE_CANCELLING: _ClassVar[Task.State]
        STATE_SUCCEEDED: _ClassVar[Task.State]
        STATE_FAILED: _ClassVar[Task.State]
        STATE_CANCELLED: _ClassVar[Task.State]
        STATE_EXPIRED: _ClassVar[Task.State]
    STATE_UNSPECIFIED: Task.State
    STATE_QUEUED: Task.State
    STATE_ASSIGNED: Task.State
    STATE_RUNNING: Task.State
    STATE_CANCELLING: Task.State
    STATE_SUCCEEDED: Task.State
    STATE_FAILED: Task.State
    STATE_CANCELLED: Task.State
    STATE_EXPIRED: Task.State
    class DeadLetterResolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DEAD_LETTER_RESOLUTION_UNSPECIFIED: _ClassVar[Task.DeadLetterResolution]
        DEAD_LETTER_RESOLUTION_REQUEUED: _ClassVar[Task.DeadLetterResolution]
        DEAD_LETTER_RESOLUTION_DROPPED: _ClassVar[Task.DeadLetterResolution]
    DEAD_LETTER_RESOLUTION_UNSPECIFIED: Task.DeadLetterResolution
    DEAD_LETTER_RESOLUTION_REQUEUED: Task.DeadLetterResolution
    DEAD_LETTER_RESOLUTION_DROPPED: Task.DeadLetterResolution
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: InputValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[InputValue, _Mapping]] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    GRAPH_JSON_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    START_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_URL_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_STATES_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUEUED_FROM_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    REQUEUED_AS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    graph_json: str
    inputs: _containers.MessageMap[str, InputValue]
    display_name: str
    priority: int
    labels: _containers.ScalarMap[str, str]
    execution_timeout: _duration_pb2.Duration
    max_retries: int
    allow_partial_outputs: bool
    group: str
    start_timeout: _duration_pb2.Duration
    callback_url: str
    callback_states: _containers.RepeatedScalarFieldContainer[Task.State]
    placement: Placement
    workflow: str
    state: Task.State
    state_reason: str
    error: TaskError
    attempt: int
    node: str
    instance: str
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    graph_digest: str
    requeued_from: str
    dead_letter_resolution: Task.DeadLetterResolution
    requeued_as: str
    timing: Timing
    workflow_version: str
    def __init__(self, name: _Optional[str] = ..., graph_json: _Optional[str] = ..., inputs: _Optional[_Mapping[str, InputValue]] = ..., display_name: _Optional[str] = ..., priority: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., execution_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_retries: _Optional[int] = ..., allow_partial_outputs: bool = ..., group: _Optional[str] = ..., start_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., callback_url: _Optional[str] = ..., callback_states: _Optional[_Iterable[_Union[Task.State, str]]] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., workflow: _Optional[str] = ..., state: _Optional[_Union[Task.State, str]] = ..., state_reason: _Optional[str] = ..., error: _Optional[_Union[TaskError, _Mapping]] = ..., attempt: _Optional[int] = ..., node: _Optional[str] = ..., instance: _Optional[str] = ..., artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., graph_digest: _Optional[str] = ..., requeued_from: _Optional[str] = ..., dead_letter_resolution: _Optional[_Union[Task.DeadLetterResolution, str]] = ..., requeued_as: _Optional[str] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., workflow_version: _Optional[str] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("labels", "gpu_class", "min_vram_bytes", "pool")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABELS_FIELD_NUMBER: _ClassVar[int]
    GPU_CLASS_FIELD_NUMBER: _ClassVar[int]
    MIN_VRAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.ScalarMap[str, str]
    gpu_class: str
    min_vram_bytes: int
    pool: str
    def __init__(self, labels: _Optional[_Mapping[str, str]] = ..., gpu_class: _Optional[str] = ..., min_vram_bytes: _Optional[int] = ..., pool: _Optional[str] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("load_duration", "run_duration", "loaded_models", "gpu_class", "peak_vram_bytes")
    LOAD_DURATION_FIELD_NUMBER: _ClassVar[int]
    RUN_DURATION_FIELD_NUMBER: _ClassVar[int]
    LOADED_MODELS_FIELD_NUMBER: _ClassVar[int]
    GPU_CLASS_FIELD_NUMBER: _ClassVar[int]
    PEAK_VRAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    load_duration: _duration_pb2.Duration
    run_duration: _duration_pb2.Duration
    loaded_models: _containers.RepeatedScalarFieldContainer[str]
    gpu_class: str
    peak_vram_bytes: int
    def __init__(self, load_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., run_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., loaded_models: _Optional[_Iterable[str]] = ..., gpu_class: _Optional[str] = ..., peak_vram_bytes: _Optional[int] = ...) -> None: ...

class InputValue(_message.Message):
    __slots__ = ("int64_value", "uint64_value", "double_value", "string_value", "bool_value", "asset", "url")
    INT64_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT64_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    int64_value: int
    uint64_value: int
    double_value: float
    string_value: str
    bool_value: bool
    asset: str
    url: str
    def __init__(self, int64_value: _Optional[int] = ..., uint64_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ..., bool_value: bool = ..., asset: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class TaskError(_message.Message):
    __slots__ = ("reason", "message", "metadata", "traceback", "retryable", "log_tail")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    LOG_TAIL_FIELD_NUMBER: _ClassVar[int]
    reason: _error_reason_pb2.ErrorReason
    message: str
    metadata: _containers.ScalarMap[str, str]
    traceback: str
    retryable: bool
    log_tail: str
    def __init__(self, reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., traceback: _Optional[str] = ..., retryable: bool = ..., log_tail: _Optional[str] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("name", "filename", "media_type", "size_bytes", "sha256", "graph_node", "output_key", "kind")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Artifact.Kind]
        KIND_OUTPUT: _ClassVar[Artifact.Kind]
        KIND_TEMP: _ClassVar[Artifact.Kind]
    KIND_UNSPECIFIED: Artifact.Kind
    KIND_OUTPUT: Artifact.Kind
    KIND_TEMP: Artifact.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    name: str
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    graph_node: str
    output_key: str
    kind: Artifact.Kind
    def __init__(self, name: _Optional[str] = ..., filename: _Optional[str] = ..., media_type: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., graph_node: _Optional[str] = ..., output_key: _Optional[str] = ..., kind: _Optional[_Union[Artifact.Kind, str]] = ...) -> None: ...

class TaskProgress(_message.Message):
    __slots__ = ("attempt", "phase", "fraction", "graph_nodes_done", "graph_node_count", "graph_node", "graph_node_class", "step", "step_count", "eta", "queue_position", "update_time", "waiting", "artifacts")
    class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PHASE_UNSPECIFIED: _ClassVar[TaskProgress.Phase]
        PHASE_WAITING: _ClassVar[TaskProgress.Phase]
        PHASE_STAGING: _ClassVar[TaskProgress.Phase]
        PHASE_EXECUTING: _ClassVar[TaskProgress.Phase]
        PHASE_STORING: _ClassVar[TaskProgress.Phase]
    PHASE_UNSPECIFIED: TaskProgress.Phase
    PHASE_WAITING: TaskProgress.Phase
    PHASE_STAGING: TaskProgress.Phase
    PHASE_EXECUTING: TaskProgress.Phase
    PHASE_STORING: TaskProgress.Phase
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODES_DONE_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODE_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODE_CLASS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    phase: TaskProgress.Phase
    fraction: float
    graph_nodes_done: int
    graph_node_count: int
    graph_node: str
    graph_node_class: str
    step: int
    step_count: int
    eta: _duration_pb2.Duration
    queue_position: int
    update_time: _timestamp_pb2.Timestamp
    waiting: _queue_pb2.Waiting
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    def __init__(self, attempt: _Optional[int] = ..., phase: _Optional[_Union[TaskProgress.Phase, str]] = ..., fraction: _Optional[float] = ..., graph_nodes_done: _Optional[int] = ..., graph_node_count: _Optional[int] = ..., graph_node: _Optional[str] = ..., graph_node_class: _Optional[str] = ..., step: _Optional[int] = ..., step_count: _Optional[int] = ..., eta: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queue_position: _Optional[int] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., waiting: _Optional[_Union[_queue_pb2.Waiting, _Mapping]] = ..., artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ...) -> None: ...

class Preview(_message.Message):
    __slots__ = ("attempt", "graph_node", "media_type", "data")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODE_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    graph_node: str
    media_type: str
    data: bytes
    def __init__(self, attempt: _Optional[int] = ..., graph_node: _Optional[str] = ..., media_type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
