"""Python SDK of ComfyMesh.

Example:
    >>> from comfymesh.client import Client
    >>> with Client("127.0.0.1:7700") as client:
    ...     client.run("graph.json", {"3.seed": 42}).save("out/")
"""

from comfymesh.client.aio import DEFAULT_TARGET, AsyncClient
from comfymesh.client.batches import NewTask
from comfymesh.client.convert import TaskOptions
from comfymesh.client.dead_letters import DeadLetterOptions
from comfymesh.client.errors import (
    AccessDenied,
    ComfyMeshError,
    Conflict,
    DeadlineExceeded,
    Incompatible,
    InvalidRequest,
    LimitExceeded,
    NoFeasibleNode,
    NotFound,
    ServerError,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    Unavailable,
    Violation,
)
from comfymesh.client.events import (
    CaughtUp,
    Event,
    GroupChanged,
    GroupEvent,
    PreviewArrived,
    Progressed,
    TaskChanged,
    TasksEvent,
)
from comfymesh.client.graphs import Graph
from comfymesh.client.groups import AsyncGroupHandle
from comfymesh.client.models import (
    Artifact,
    ArtifactKind,
    Asset,
    AttemptFailure,
    Availability,
    DeadLetter,
    DeadLetterResolution,
    Gpu,
    Group,
    Host,
    Instance,
    InstanceState,
    LoadedArtifact,
    Node,
    NodeState,
    Phase,
    Preview,
    Progress,
    Task,
    TaskError,
    TaskState,
)
from comfymesh.client.results import Result
from comfymesh.client.retries import RetryPolicy
from comfymesh.client.sync import Client, GroupHandle
from comfymesh.client.uploads import InputValue

__all__ = [
    "DEFAULT_TARGET",
    "AccessDenied",
    "Artifact",
    "ArtifactKind",
    "Asset",
    "AsyncClient",
    "AsyncGroupHandle",
    "AttemptFailure",
    "Availability",
    "CaughtUp",
    "Client",
    "ComfyMeshError",
    "Conflict",
    "DeadLetter",
    "DeadLetterOptions",
    "DeadLetterResolution",
    "DeadlineExceeded",
    "Event",
    "Gpu",
    "Graph",
    "Group",
    "GroupChanged",
    "GroupEvent",
    "GroupHandle",
    "Host",
    "Incompatible",
    "InputValue",
    "Instance",
    "InstanceState",
    "InvalidRequest",
    "LimitExceeded",
    "LoadedArtifact",
    "NewTask",
    "NoFeasibleNode",
    "Node",
    "NodeState",
    "NotFound",
    "Phase",
    "Preview",
    "PreviewArrived",
    "Progress",
    "Progressed",
    "Result",
    "RetryPolicy",
    "ServerError",
    "Task",
    "TaskCancelled",
    "TaskChanged",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TaskOptions",
    "TaskState",
    "TasksEvent",
    "Unavailable",
    "Violation",
]
