from comfymesh.v1 import queue_pb2 as _queue_pb2
from comfymesh.v1 import task_pb2 as _task_pb2
from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateTaskRequest(_message.Message):
    __slots__ = ("task", "task_id", "request_id", "validate_only")
    TASK_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    task_id: str
    request_id: str
    validate_only: bool
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., task_id: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class CreateTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ...) -> None: ...

class BatchCreateTasksRequest(_message.Message):
    __slots__ = ("requests", "validate_only", "group")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[CreateTaskRequest]
    validate_only: bool
    group: str
    def __init__(self, requests: _Optional[_Iterable[_Union[CreateTaskRequest, _Mapping]]] = ..., validate_only: bool = ..., group: _Optional[str] = ...) -> None: ...

class BatchCreateTasksResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCreateTasksResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCreateTasksResult, _Mapping]]] = ...) -> None: ...

class BatchCreateTasksResult(_message.Message):
    __slots__ = ("task", "refusal")
    TASK_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    refusal: Refusal
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class RunTaskRequest(_message.Message):
    __slots__ = ("task", "task_id", "request_id", "include_previews", "include_artifacts")
    TASK_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PREVIEWS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    task_id: str
    request_id: str
    include_previews: bool
    include_artifacts: bool
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., task_id: _Optional[str] = ..., request_id: _Optional[str] = ..., include_previews: bool = ..., include_artifacts: bool = ...) -> None: ...

class RunTaskResponse(_message.Message):
    __slots__ = ("resume_token", "task", "progress", "preview", "heartbeat", "artifact_chunk", "artifact_chunks", "passed")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_CHUNK_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    task: _task_pb2.Task
    progress: _task_pb2.TaskProgress
    preview: _task_pb2.Preview
    heartbeat: _task_pb2.Heartbeat
    artifact_chunk: ArtifactChunk
    artifact_chunks: _containers.RepeatedCompositeFieldContainer[ArtifactChunk]
    passed: _containers.RepeatedCompositeFieldContainer[_task_pb2.Task]
    def __init__(self, resume_token: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., progress: _Optional[_Union[_task_pb2.TaskProgress, _Mapping]] = ..., preview: _Optional[_Union[_task_pb2.Preview, _Mapping]] = ..., heartbeat: _Optional[_Union[_task_pb2.Heartbeat, _Mapping]] = ..., artifact_chunk: _Optional[_Union[ArtifactChunk, _Mapping]] = ..., artifact_chunks: _Optional[_Iterable[_Union[ArtifactChunk, _Mapping]]] = ..., passed: _Optional[_Iterable[_Union[_task_pb2.Task, _Mapping]]] = ...) -> None: ...

class ArtifactChunk(_message.Message):
    __slots__ = ("artifact", "offset_bytes", "data")
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    artifact: str
    offset_bytes: int
    data: bytes
    def __init__(self, artifact: _Optional[str] = ..., offset_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTaskResponse(_message.Message):
    __slots__ = ("task", "waiting")
    TASK_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    waiting: _queue_pb2.Waiting
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., waiting: _Optional[_Union[_queue_pb2.Waiting, _Mapping]] = ...) -> None: ...

class GetTaskGraphRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTaskGraphResponse(_message.Message):
    __slots__ = ("graph_json",)
    GRAPH_JSON_FIELD_NUMBER: _ClassVar[int]
    graph_json: str
    def __init__(self, graph_json: _Optional[str] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "labels", "created_after", "created_before", "group", "graph_digest", "workflow")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[_task_pb2.Task.State]
    labels: _containers.ScalarMap[str, str]
    created_after: _timestamp_pb2.Timestamp
    created_before: _timestamp_pb2.Timestamp
    group: str
    graph_digest: str
    workflow: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_task_pb2.Task.State, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., created_after: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., created_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., group: _Optional[str] = ..., graph_digest: _Optional[str] = ..., workflow: _Optional[str] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_task_pb2.Task]
    next_page_token: str
    def __init__(self, tasks: _Optional[_Iterable[_Union[_task_pb2.Task, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchTaskRequest(_message.Message):
    __slots__ = ("name", "resume_token", "include_previews")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PREVIEWS_FIELD_NUMBER: _ClassVar[int]
    name: str
    resume_token: str
    include_previews: bool
    def __init__(self, name: _Optional[str] = ..., resume_token: _Optional[str] = ..., include_previews: bool = ...) -> None: ...

class WatchTaskResponse(_message.Message):
    __slots__ = ("resume_token", "task", "progress", "preview", "heartbeat")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    task: _task_pb2.Task
    progress: _task_pb2.TaskProgress
    preview: _task_pb2.Preview
    heartbeat: _task_pb2.Heartbeat
    def __init__(self, resume_token: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., progress: _Optional[_Union[_task_pb2.TaskProgress, _Mapping]] = ..., preview: _Optional[_Union[_task_pb2.Preview, _Mapping]] = ..., heartbeat: _Optional[_Union[_task_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class WatchTasksRequest(_message.Message):
    __slots__ = ("states", "labels", "group", "include_existing", "resume_token", "max_changes", "workflow")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EXISTING_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MAX_CHANGES_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[_task_pb2.Task.State]
    labels: _containers.ScalarMap[str, str]
    group: str
    include_existing: bool
    resume_token: str
    max_changes: int
    workflow: str
    def __init__(self, states: _Optional[_Iterable[_Union[_task_pb2.Task.State, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., group: _Optional[str] = ..., include_existing: bool = ..., resume_token: _Optional[str] = ..., max_changes: _Optional[int] = ..., workflow: _Optional[str] = ...) -> None: ...

class WatchTasksResponse(_message.Message):
    __slots__ = ("resume_token", "task", "caught_up", "heartbeat", "passed")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    task: _task_pb2.Task
    caught_up: CaughtUp
    heartbeat: _task_pb2.Heartbeat
    passed: _containers.RepeatedCompositeFieldContainer[PassedChange]
    def __init__(self, resume_token: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., caught_up: _Optional[_Union[CaughtUp, _Mapping]] = ..., heartbeat: _Optional[_Union[_task_pb2.Heartbeat, _Mapping]] = ..., passed: _Optional[_Iterable[_Union[PassedChange, _Mapping]]] = ...) -> None: ...

class PassedChange(_message.Message):
    __slots__ = ("resume_token", "task")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    task: _task_pb2.Task
    def __init__(self, resume_token: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelTaskRequest(_message.Message):
    __slots__ = ("name", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ...) -> None: ...
