"""Python SDK of ComfyMesh.

Example:
    >>> from comfymesh.client import Client
    >>> with Client("127.0.0.1:7700") as client:
    ...     client.run("graph.json", {"3.seed": 42}).save("out/")
"""

from comfymesh.client.access import ApiKey, Tls
from comfymesh.client.administration import KeyOptions, TenantOptions
from comfymesh.client.administration_models import AuditEvent, Key, Limits, NewKey, Scope, Tenant, Usage
from comfymesh.client.aio import DEFAULT_TARGET, AsyncClient
from comfymesh.client.alert_models import (
    Alert,
    AlertChannel,
    AlertNotice,
    AlertRule,
    AlertSetup,
    AlertState,
    ChannelDelivery,
    DeliveryState,
    NoticeKind,
    Severity,
    Silence,
    WebhookDelivery,
)
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
from comfymesh.client.fleet_models import Availability, Gpu, Host, Instance, InstanceState, Node, NodeState
from comfymesh.client.graphs import Graph
from comfymesh.client.groups import AsyncGroupHandle
from comfymesh.client.models import (
    Artifact,
    ArtifactKind,
    Asset,
    AttemptFailure,
    DeadLetter,
    DeadLetterResolution,
    Group,
    LoadedArtifact,
    Phase,
    Preview,
    Progress,
    Task,
    TaskError,
    TaskState,
)
from comfymesh.client.results import Result
from comfymesh.client.retries import RetryPolicy
from comfymesh.client.scheduling_models import (
    Estimate,
    Placement,
    Policy,
    Queue,
    QueueShare,
    Setting,
    Timing,
    Waiting,
)
from comfymesh.client.sync import Client, GroupHandle
from comfymesh.client.uploads import InputValue

__all__ = [
    "DEFAULT_TARGET",
    "AccessDenied",
    "Alert",
    "AlertChannel",
    "AlertNotice",
    "AlertRule",
    "AlertSetup",
    "AlertState",
    "ApiKey",
    "Artifact",
    "ArtifactKind",
    "Asset",
    "AsyncClient",
    "AsyncGroupHandle",
    "AttemptFailure",
    "AuditEvent",
    "Availability",
    "CaughtUp",
    "ChannelDelivery",
    "Client",
    "ComfyMeshError",
    "Conflict",
    "DeadLetter",
    "DeadLetterOptions",
    "DeadLetterResolution",
    "DeadlineExceeded",
    "DeliveryState",
    "Estimate",
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
    "Key",
    "KeyOptions",
    "LimitExceeded",
    "Limits",
    "LoadedArtifact",
    "NewKey",
    "NewTask",
    "NoFeasibleNode",
    "Node",
    "NodeState",
    "NotFound",
    "NoticeKind",
    "Phase",
    "Placement",
    "Policy",
    "Preview",
    "PreviewArrived",
    "Progress",
    "Progressed",
    "Queue",
    "QueueShare",
    "Result",
    "RetryPolicy",
    "Scope",
    "ServerError",
    "Setting",
    "Severity",
    "Silence",
    "Task",
    "TaskCancelled",
    "TaskChanged",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TaskOptions",
    "TaskState",
    "TasksEvent",
    "Tenant",
    "TenantOptions",
    "Timing",
    "Tls",
    "Unavailable",
    "Usage",
    "Violation",
    "Waiting",
    "WebhookDelivery",
]
