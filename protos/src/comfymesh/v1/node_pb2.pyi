from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("name", "state", "availability", "labels", "gpus", "instances", "agent_version", "last_report_time")
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
    name: str
    state: Node.State
    availability: Node.Availability
    labels: _containers.ScalarMap[str, str]
    gpus: _containers.RepeatedCompositeFieldContainer[Gpu]
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    agent_version: str
    last_report_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Node.State, str]] = ..., availability: _Optional[_Union[Node.Availability, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., gpus: _Optional[_Iterable[_Union[Gpu, _Mapping]]] = ..., instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ..., agent_version: _Optional[str] = ..., last_report_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Gpu(_message.Message):
    __slots__ = ("uuid", "model", "memory_bytes")
    UUID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    model: str
    memory_bytes: int
    def __init__(self, uuid: _Optional[str] = ..., model: _Optional[str] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("name", "state", "state_reason", "comfyui_version", "runtime", "slots", "held_attempts")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Instance.State]
        STATE_STARTING: _ClassVar[Instance.State]
        STATE_READY: _ClassVar[Instance.State]
        STATE_BUSY: _ClassVar[Instance.State]
        STATE_DOWN: _ClassVar[Instance.State]
        STATE_RETIRING: _ClassVar[Instance.State]
        STATE_QUARANTINED: _ClassVar[Instance.State]
    STATE_UNSPECIFIED: Instance.State
    STATE_STARTING: Instance.State
    STATE_READY: Instance.State
    STATE_BUSY: Instance.State
    STATE_DOWN: Instance.State
    STATE_RETIRING: Instance.State
    STATE_QUARANTINED: Instance.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    COMFYUI_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    HELD_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Instance.State
    state_reason: str
    comfyui_version: str
    runtime: str
    slots: int
    held_attempts: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Instance.State, str]] = ..., state_reason: _Optional[str] = ..., comfyui_version: _Optional[str] = ..., runtime: _Optional[str] = ..., slots: _Optional[int] = ..., held_attempts: _Optional[int] = ...) -> None: ...
