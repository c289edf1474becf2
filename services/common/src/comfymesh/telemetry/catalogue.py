"""Every instrument of the mesh, as data. docs/metrics.md is made of it, and dashboards and rules are held against it.

Names and units follow the semantic conventions of OpenTelemetry (rpc, process, hw, system; version 1.45) where those
have one, and begin with `comfymesh.` where not.
"""

from __future__ import annotations

from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import FINAL
from comfymesh.telemetry.instrument import Attribute, Instrument, Kind

API, SCHEDULER, AGENT, NOTIFIER = "api", "scheduler", "agent", "notifier"
_ALL = (API, SCHEDULER, AGENT, NOTIFIER)

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

# Attributes

TENANT = Attribute("comfymesh.tenant", "Whose task it is: the tenants that are seen most.", most=20)
PRIORITY = Attribute("comfymesh.priority", "The task's priority.", most=10)
MODEL = Attribute("comfymesh.model", "The model file: those that are loaded most.", most=20)
STATE = Attribute("comfymesh.task.state", "How the task ended.", tuple(sorted(FINAL)))
OUTCOME = Attribute(
    "comfymesh.attempt.outcome",
    "`SUCCEEDED`, `RELEASED` (handed back before it had begun), `CANCELLED`, or the class of its failure.",
    tuple(dict.fromkeys(("SUCCEEDED", "RELEASED", *FailureClass))),
)
PLACEMENT = Attribute(
    "comfymesh.placement.reason",
    "Why the task went there: its models were in memory (`warm`) or have to be loaded (`cold`), it names none"
    " (`no_models`), or it is tried again (`retry`).",
    ("warm", "cold", "no_models", "retry"),
)
AFFINITY = Attribute(
    "comfymesh.affinity",
    "Whether the attempt found all its models in memory (`hit`), loaded some (`miss`), or names none (`none`).",
    ("hit", "miss", "none"),
)
NODE = Attribute("comfymesh.node", "The node. One value in each agent.", most=1)
INSTANCE = Attribute("comfymesh.instance", "The instance, as the node's settings name it.", most=64)
INSTANCE_STATE = Attribute(
    "comfymesh.instance.state",
    "1 for the state in which it is, 0 for the others.",
    ("STARTING", "READY", "STOPPED", "DOWN", "RETIRING", "QUARANTINED"),
)
GPU = Attribute("hw.id", "The GPU's UUID.", most=64)
SPACE = Attribute("comfymesh.space.state", "Of a host's memory or disk: `used` or `free`.", ("used", "free"))
NODE_STATE = Attribute(
    "comfymesh.node.state",
    "`open` for work, `closed` (cordoned or draining), or `silent` for longer than a report lives.",
    ("open", "closed", "silent"),
)
SLOT_STATE = Attribute("comfymesh.slot.state", "`held` by an attempt, or `free`.", ("held", "free"))
RPC_SYSTEM = Attribute("rpc.system.name", "Always `grpc`.", ("grpc",))
RPC_METHOD = Attribute("rpc.method", "Service and method.", most=100)
RPC_STATUS = Attribute("rpc.response.status_code", "Name of the status code.", most=17)
REASON = Attribute("comfymesh.reason", "Why the call was refused, as in its error details.", most=80)
WATCHED = Attribute("comfymesh.watcher.kind", "Whether one task is watched, or many.", ("task", "tasks"))
STREAM = Attribute("comfymesh.stream", "The JetStream stream.", most=20)
NOTICE_OUTCOME = Attribute(
    "comfymesh.notice.outcome", "What became of a notice on one channel.", ("delivered", "failed")
)
CPU_MODE = Attribute("cpu.mode", "Where the time was spent.", ("user", "system"))

# What waits, from the scheduler that acts

_ACTS = (SCHEDULER,)
QUEUE_DEPTH = Instrument(
    "comfymesh.queue.depth", "{task}", Kind.UP_DOWN, "Tasks that wait for a slot.", _ACTS, (PRIORITY,)
)
QUEUE_AGE = Instrument(
    "comfymesh.queue.age", "s", Kind.GAUGE, "Age of the oldest task that waits.", _ACTS, (PRIORITY,), rest="max"
)
TENANT_WAITING = Instrument(
    "comfymesh.tenant.waiting", "{task}", Kind.UP_DOWN, "Tasks of a tenant that wait.", _ACTS, (TENANT,)
)
TENANT_RUNNING = Instrument(
    "comfymesh.tenant.running", "{task}", Kind.UP_DOWN, "Tasks of a tenant that an instance has.", _ACTS, (TENANT,)
)
TENANT_AGE = Instrument(
    "comfymesh.tenant.age", "s", Kind.GAUGE, "Age of a tenant's oldest task that waits.", _ACTS, (TENANT,), rest="max"
)

# What happened, told once, by the scheduler that acts, as the log tells it

TASKS_CREATED = Instrument(
    "comfymesh.task.created", "{task}", Kind.COUNTER, "Tasks that were created.", _ACTS, (TENANT,)
)
TASKS_ENDED = Instrument(
    "comfymesh.task.ended", "{task}", Kind.COUNTER, "Tasks that came to their end.", _ACTS, (TENANT, STATE)
)
ATTEMPTS = Instrument(
    "comfymesh.attempt.ended", "{attempt}", Kind.COUNTER, "Attempts that came to an end.", _ACTS, (OUTCOME,)
)
PLACEMENTS = Instrument(
    "comfymesh.placement", "{placement}", Kind.COUNTER, "Tasks that a node has claimed.", _ACTS, (PLACEMENT,)
)
AFFINITIES = Instrument(
    "comfymesh.affinity", "{attempt}", Kind.COUNTER, "Attempts by what they found in memory.", _ACTS, (AFFINITY,)
)
MODEL_LOADS = Instrument(
    "comfymesh.model.loads", "{load}", Kind.COUNTER, "Model files that were loaded.", _ACTS, (MODEL,)
)
GPU_TIME = Instrument(
    "comfymesh.gpu.time", "s", Kind.COUNTER, "GPU-seconds of attempts that have ended (usage.md).", _ACTS, (TENANT,)
)
ARTIFACT_BYTES = Instrument("comfymesh.artifact.size", "By", Kind.COUNTER, "Outputs that were stored.", _ACTS)
WAITED = Instrument(
    "comfymesh.task.waiting.duration",
    "s",
    Kind.HISTOGRAM,
    "From the creation of a task until its first attempt was given to an instance.",
    _ACTS,
    buckets=_LONG,
)
LOADED = Instrument(
    "comfymesh.attempt.loading.duration",
    "s",
    Kind.HISTOGRAM,
    "What an attempt that loaded models spent on that.",
    _ACTS,
    buckets=_LONG,
)
RAN = Instrument(
    "comfymesh.attempt.running.duration",
    "s",
    Kind.HISTOGRAM,
    "What an attempt spent on all else, in ComfyUI.",
    _ACTS,
    buckets=_LONG,
)
STORED = Instrument(
    "comfymesh.attempt.storing.duration",
    "s",
    Kind.HISTOGRAM,
    "From the end in ComfyUI until the outputs were stored and the end could be written.",
    _ACTS,
    buckets=_LONG,
)
TASK_TIME = Instrument(
    "comfymesh.task.duration",
    "s",
    Kind.HISTOGRAM,
    "From the creation of a task to its end.",
    _ACTS,
    (STATE,),
    buckets=_LONG,
)
LEADING = Instrument(
    "comfymesh.scheduler.leading", "1", Kind.UP_DOWN, "1 in the scheduler that acts, 0 in others.", _ACTS
)
DECISIONS = Instrument(
    "comfymesh.scheduler.decisions", "{decision}", Kind.COUNTER, "Decisions that were carried out.", _ACTS
)
NODES = Instrument("comfymesh.node.count", "{node}", Kind.UP_DOWN, "Nodes that have reported.", _ACTS, (NODE_STATE,))
SLOTS = Instrument("comfymesh.slot.count", "{slot}", Kind.UP_DOWN, "Slots of instances.", _ACTS, (SLOT_STATE,))
BREAKERS = Instrument(
    "comfymesh.breaker.open",
    "{instance}",
    Kind.UP_DOWN,
    "Instances that get no tasks since too many failed there by their fault.",
    _ACTS,
)
STREAM_MESSAGES = Instrument(
    "comfymesh.stream.messages", "{message}", Kind.UP_DOWN, "Messages that a stream holds.", _ACTS, (STREAM,)
)
STREAM_BYTES = Instrument("comfymesh.stream.size", "By", Kind.UP_DOWN, "Bytes of those.", _ACTS, (STREAM,))

# Whoever follows the log

LOG_LAG = Instrument(
    "comfymesh.log.lag",
    "s",
    Kind.GAUGE,
    "For how long the oldest message of the task log has waited to be taken in; 0 where none waits.",
    (API, SCHEDULER),
)

# api

RPC_DURATION = Instrument(
    "rpc.server.call.duration",
    "s",
    Kind.HISTOGRAM,
    "From a call to its end; of streams, as long as somebody listened.",
    (API,),
    (RPC_SYSTEM, RPC_METHOD, RPC_STATUS),
    buckets=_FAST,
)
RPC_ACTIVE = Instrument("comfymesh.rpc.active", "{call}", Kind.UP_DOWN, "Calls under way, streams included.", (API,))
REFUSALS = Instrument(
    "comfymesh.rpc.refused", "{call}", Kind.COUNTER, "Calls that were refused, or met a defect.", (API,), (REASON,)
)
BLOBS_REMOVED = Instrument(
    "comfymesh.blob.removed", "{blob}", Kind.COUNTER, "Blobs that were removed since nothing named them.", (API,)
)
WATCHERS = Instrument("comfymesh.watcher.count", "{watcher}", Kind.UP_DOWN, "Watchers.", (API,), (WATCHED,))
WATCHER_PENDING = Instrument(
    "comfymesh.watcher.pending",
    "{change}",
    Kind.UP_DOWN,
    "Changes that watchers are still to be told.",
    (API,),
    (WATCHED,),
)
WATCHERS_BEHIND = Instrument(
    "comfymesh.watcher.behind", "{watcher}", Kind.UP_DOWN, "Watchers who are served from the log.", (API,)
)

# agent

_HOST = (AGENT,)
INSTANCE_STATES = Instrument(
    "comfymesh.instance.state", "1", Kind.UP_DOWN, "How an instance is.", _HOST, (INSTANCE, NODE, INSTANCE_STATE)
)
INSTANCE_HELD = Instrument(
    "comfymesh.instance.held", "{attempt}", Kind.UP_DOWN, "Attempts that an instance holds.", _HOST, (INSTANCE, NODE)
)
INSTANCE_MEMORY = Instrument(
    "comfymesh.instance.memory", "By", Kind.UP_DOWN, "Memory of an instance's processes.", _HOST, (INSTANCE, NODE)
)
GPU_MEMORY = Instrument("hw.gpu.memory.usage", "By", Kind.UP_DOWN, "GPU memory in use.", _HOST, (GPU, NODE))
GPU_MEMORY_LIMIT = Instrument("hw.gpu.memory.limit", "By", Kind.UP_DOWN, "GPU memory.", _HOST, (GPU, NODE))
GPU_USE = Instrument(
    "hw.gpu.utilization", "1", Kind.GAUGE, "Share of the last moment in which the GPU worked.", _HOST, (GPU, NODE)
)
GPU_TEMPERATURE = Instrument("hw.temperature", "Cel", Kind.GAUGE, "The GPU's temperature.", _HOST, (GPU, NODE))
GPU_ERRORS = Instrument(
    "comfymesh.gpu.uncorrected_errors",
    "{error}",
    Kind.GAUGE,
    "Memory errors that could not be corrected, since the driver was loaded.",
    _HOST,
    (GPU, NODE),
)
HOST_MEMORY = Instrument("system.memory.usage", "By", Kind.UP_DOWN, "The host's memory.", _HOST, (NODE, SPACE))
HOST_DISK = Instrument(
    "system.filesystem.usage", "By", Kind.UP_DOWN, "The disk that holds the agent's state.", _HOST, (NODE, SPACE)
)

# notifier

NOTICES = Instrument(
    "comfymesh.notice.told", "{notice}", Kind.COUNTER, "Notices, one a channel.", (NOTIFIER,), (NOTICE_OUTCOME,)
)

# Every process

CPU_TIME = Instrument("process.cpu.time", "s", Kind.COUNTER, "CPU that the process has used.", _ALL, (CPU_MODE,))
MEMORY = Instrument("process.memory.usage", "By", Kind.UP_DOWN, "Memory that the process holds.", _ALL)
FILES = Instrument("process.unix.file_descriptor.count", "{file_descriptor}", Kind.UP_DOWN, "Open files.", _ALL)
THREADS = Instrument("process.thread.count", "{thread}", Kind.UP_DOWN, "Threads.", _ALL)
UPTIME = Instrument("process.uptime", "s", Kind.GAUGE, "Since the process was started.", _ALL)
LOOP_DELAY = Instrument(
    "comfymesh.event_loop.delay", "s", Kind.GAUGE, "How late the event loop was at most since the last look.", _ALL
)

ALL: tuple[Instrument, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Instrument))
BY_NAME = {instrument.name: instrument for instrument in ALL}


def of(service: str) -> list[Instrument]:
    """What a service records."""
    return [instrument for instrument in ALL if service in instrument.services]
