from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("name", "state", "availability", "labels", "gpus", "instances", "agent_version", "last_report_time", "host", "wanted_availability", "wanted_reason", "pools", "preloads")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Node.State]
        STATE_ACTIVE: _ClassVar[Node.State]
        STATE_UNREACHABLE: _ClassVar[Node.State]
    STATE_UNSPECIFIED: Node.State
    STATE_ACTIVE: Node.State
    STATE_UNREACHABLE: Node.State
    class Availability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        AVAILABILITY_UNSPECIFIED: _ClassVar[Node.Availability]
        AVAILABILITY_OPEN: _ClassVar[Node.Availability]
        AVAILABILITY_CORDONED: _ClassVar[Node.Availability]
        AVAILABILITY_DRAINING: _ClassVar[Node.Availability]
    AVAILABILITY_UNSPECIFIED: Node.Availability
    AVAILABILITY_OPEN: Node.Availability
    AVAILABILITY_CORDONED: Node.Availability
    AVAILABILITY_DRAINING: Node.Availability
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LAST_REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    WANTED_AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    WANTED_REASON_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    PRELOADS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Node.State
    availability: Node.Availability
    labels: _containers.ScalarMap[str, str]
    gpus: _containers.RepeatedCompositeFieldContainer[Gpu]
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    agent_version: str
    last_report_time: _timestamp_pb2.Timestamp
    host: Host
    wanted_availability: Node.Availability
    wanted_reason: str
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    preloads: _containers.RepeatedCompositeFieldContainer[Preload]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Node.State, str]] = ..., availability: _Optional[_Union[Node.Availability, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., gpus: _Optional[_Iterable[_Union[Gpu, _Mapping]]] = ..., instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ..., agent_version: _Optional[str] = ..., last_report_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., host: _Optional[_Union[Host, _Mapping]] = ..., wanted_availability: _Optional[_Union[Node.Availability, str]] = ..., wanted_reason: _Optional[str] = ..., pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ..., preloads: _Optional[_Iterable[_Union[Preload, _Mapping]]] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("name", "runtime", "image", "gpu_uuids", "instances_per_gpu", "shared", "min", "max", "idle_time", "queue_time", "memory_bytes", "labels", "startup_models", "instances", "serving_count", "limit_reason")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    GPU_UUIDS_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_PER_GPU_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIME_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    STARTUP_MODELS_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    SERVING_COUNT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    runtime: str
    image: str
    gpu_uuids: _containers.RepeatedScalarFieldContainer[str]
    instances_per_gpu: int
    shared: bool
    min: int
    max: int
    idle_time: _duration_pb2.Duration
    queue_time: _duration_pb2.Duration
    memory_bytes: int
    labels: _containers.ScalarMap[str, str]
    startup_models: _containers.RepeatedScalarFieldContainer[str]
    instances: _containers.RepeatedScalarFieldContainer[str]
    serving_count: int
    limit_reason: str
    def __init__(self, name: _Optional[str] = ..., runtime: _Optional[str] = ..., image: _Optional[str] = ..., gpu_uuids: _Optional[_Iterable[str]] = ..., instances_per_gpu: _Optional[int] = ..., shared: bool = ..., min: _Optional[int] = ..., max: _Optional[int] = ..., idle_time: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queue_time: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., memory_bytes: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., startup_models: _Optional[_Iterable[str]] = ..., instances: _Optional[_Iterable[str]] = ..., serving_count: _Optional[int] = ..., limit_reason: _Optional[str] = ...) -> None: ...

class Preload(_message.Message):
    __slots__ = ("pool", "instance", "files")
    POOL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    pool: str
    instance: str
    files: _containers.RepeatedCompositeFieldContainer[PreloadFile]
    def __init__(self, pool: _Optional[str] = ..., instance: _Optional[str] = ..., files: _Optional[_Iterable[_Union[PreloadFile, _Mapping]]] = ...) -> None: ...

class PreloadFile(_message.Message):
    __slots__ = ("name", "input")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    input: str
    def __init__(self, name: _Optional[str] = ..., input: _Optional[str] = ...) -> None: ...

class Host(_message.Message):
    __slots__ = ("memory_bytes", "memory_available_bytes", "disk_bytes", "disk_free_bytes")
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    memory_bytes: int
    memory_available_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    def __init__(self, memory_bytes: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ...) -> None: ...

class Gpu(_message.Message):
    __slots__ = ("uuid", "model", "memory_bytes", "memory_used_bytes", "utilization_percent", "temperature_celsius", "uncorrected_errors")
    UUID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_CELSIUS_FIELD_NUMBER: _ClassVar[int]
    UNCORRECTED_ERRORS_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    model: str
    memory_bytes: int
    memory_used_bytes: int
    utilization_percent: int
    temperature_celsius: int
    uncorrected_errors: int
    def __init__(self, uuid: _Optional[str] = ..., model: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., memory_used_bytes: _Optional[int] = ..., utilization_percent: _Optional[int] = ..., temperature_celsius: _Optional[int] = ..., uncorrected_errors: _Optional[int] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("name", "state", "state_reason", "comfyui_version", "runtime", "slots", "held_attempts", "resident_models", "gpu_class", "vram_bytes", "pool", "node_class_count", "model_file_count", "model_file_bytes", "memory_bytes", "labels", "gpu_uuid", "preload_problems")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Instance.State]
        STATE_STARTING: _ClassVar[Instance.State]
        STATE_READY: _ClassVar[Instance.State]
        STATE_BUSY: _ClassVar[Instance.State]
        STATE_DOWN: _ClassVar[Instance.State]
        STATE_RETIRING: _ClassVar[Instance.State]
        STATE_QUARANTINED: _ClassVar[Instance.State]
        STATE_STOPPED: _ClassVar[Instance.State]
    STATE_UNSPECIFIED: Instance.State
    STATE_STARTING: Instance.State
    STATE_READY: Instance.State
    STATE_BUSY: Instance.State
    STATE_DOWN: Instance.State
    STATE_RETIRING: Instance.State
    STATE_QUARANTINED: Instance.State
    STATE_STOPPED: Instance.State
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    COMFYUI_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    HELD_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_MODELS_FIELD_NUMBER: _ClassVar[int]
    GPU_CLASS_FIELD_NUMBER: _ClassVar[int]
    VRAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODE_CLASS_COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    GPU_UUID_FIELD_NUMBER: _ClassVar[int]
    PRELOAD_PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Instance.State
    state_reason: str
    comfyui_version: str
    runtime: str
    slots: int
    held_attempts: int
    resident_models: _containers.RepeatedScalarFieldContainer[str]
    gpu_class: str
    vram_bytes: int
    pool: str
    node_class_count: int
    model_file_count: int
    model_file_bytes: int
    memory_bytes: int
    labels: _containers.ScalarMap[str, str]
    gpu_uuid: str
    preload_problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Instance.State, str]] = ..., state_reason: _Optional[str] = ..., comfyui_version: _Optional[str] = ..., runtime: _Optional[str] = ..., slots: _Optional[int] = ..., held_attempts: _Optional[int] = ..., resident_models: _Optional[_Iterable[str]] = ..., gpu_class: _Optional[str] = ..., vram_bytes: _Optional[int] = ..., pool: _Optional[str] = ..., node_class_count: _Optional[int] = ..., model_file_count: _Optional[int] = ..., model_file_bytes: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., gpu_uuid: _Optional[str] = ..., preload_problems: _Optional[_Iterable[str]] = ...) -> None: ...
