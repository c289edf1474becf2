"""Python SDK of ComfyMesh.

Example:
    >>> from comfymesh.client import Client
    >>> with Client("127.0.0.1:7700") as client:
    ...     client.run("graph.json", {"3.seed": 42}).save("out/")
"""

from comfymesh.client.aio import DEFAULT_TARGET, AsyncClient
from comfymesh.client.convert import TaskOptions
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
from comfymesh.client.events import Event, PreviewArrived, Progressed, TaskChanged
from comfymesh.client.graphs import Graph
from comfymesh.client.models import (
    Artifact,
    ArtifactKind,
    Asset,
    Availability,
    Gpu,
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
from comfymesh.client.sync import Client
from comfymesh.client.uploads import InputValue

__all__ = [
    "DEFAULT_TARGET",
    "AccessDenied",
    "Artifact",
    "ArtifactKind",
    "Asset",
    "AsyncClient",
    "Availability",
    "Client",
    "ComfyMeshError",
    "Conflict",
    "DeadlineExceeded",
    "Event",
    "Gpu",
    "Graph",
    "Incompatible",
    "InputValue",
    "Instance",
    "InstanceState",
    "InvalidRequest",
    "LimitExceeded",
    "LoadedArtifact",
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
    "Unavailable",
    "Violation",
]
