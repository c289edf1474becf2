"""Rules for Prometheus. Those of the notifier tell of single tasks and nodes, these of rates, levels and services."""

from __future__ import annotations

from comfymesh.stack.observability.model import Alert, Recording

_BROKEN = 'rpc_response_status_code=~"INTERNAL|UNKNOWN|DATA_LOSS"'
_ATTEMPTS = "comfymesh_attempt_ended_total"

RECORDINGS = (
    Recording(
        "comfymesh:task_failure:ratio5m",
        'sum(rate(comfymesh_task_ended_total{comfymesh_task_state="FAILED"}[5m]))'
        " / clamp_min(sum(rate(comfymesh_task_ended_total[5m])), 1e-9)",
    ),
    Recording(
        "comfymesh:affinity_hit:ratio5m",
        'sum(rate(comfymesh_affinity_total{comfymesh_affinity="hit"}[5m]))'
        ' / clamp_min(sum(rate(comfymesh_affinity_total{comfymesh_affinity!="none"}[5m])), 1e-9)',
    ),
    Recording(
        "comfymesh:slot_use:ratio",
        'sum(comfymesh_slot_count{comfymesh_slot_state="held"}) / clamp_min(sum(comfymesh_slot_count), 1)',
    ),
    Recording(
        "comfymesh:rpc_broken:ratio5m",
        f"(sum(rate(rpc_server_call_duration_seconds_count{{{_BROKEN}}}[5m])) or vector(0))"
        " / clamp_min(sum(rate(rpc_server_call_duration_seconds_count[5m])) or vector(0), 1e-9)",
    ),
    Recording(
        "comfymesh:host_disk_free:ratio",
        'sum by (comfymesh_node) (system_filesystem_usage_bytes{comfymesh_space_state="free"})'
        " / sum by (comfymesh_node) (system_filesystem_usage_bytes)",
    ),
    Recording(
        "comfymesh:host_memory_free:ratio",
        'sum by (comfymesh_node) (system_memory_usage_bytes{comfymesh_space_state="free"})'
        " / sum by (comfymesh_node) (system_memory_usage_bytes)",
    ),
)

_NODE = "{{ $labels.comfymesh_node }}"
_SERVICE = "{{ $labels.instance }}"

ALERTS = (
    Alert(
        "ComfyMeshWatchdog", "vector(1)", "0s", "info", "Alerting works: this one always fires.", "watchdog", above=0
    ),
    Alert(
        "ComfyMeshServiceDown",
        'up{job="comfymesh"}',
        "1m",
        "critical",
        f"{_SERVICE} shows no metrics.",
        "silent",
        below=1,
    ),
    Alert(
        "ComfyMeshNoScheduler",
        "sum(comfymesh_scheduler_leading) or vector(0)",
        "30s",
        "critical",
        "No scheduler acts: no task is begun.",
        "silent",
        below=1,
    ),
    Alert(
        "ComfyMeshTwoSchedulers",
        "sum(comfymesh_scheduler_leading) or vector(0)",
        "30s",
        "error",
        "{{ $value }} schedulers act.",
        "two-schedulers",
        above=1,
    ),
    Alert(
        "ComfyMeshQueueOld",
        "max(comfymesh_queue_age_seconds)",
        "5m",
        "warning",
        "The oldest task waits for {{ $value | humanizeDuration }}.",
        "queue-age",
        above=900,
    ),
    Alert(
        "ComfyMeshTasksFail",
        "comfymesh:task_failure:ratio5m",
        "5m",
        "error",
        "{{ $value | humanizePercentage }} of tasks fail.",
        "failure-rate",
        above=0.2,
    ),
    Alert(
        "ComfyMeshOutOfMemory",
        f'sum(increase({_ATTEMPTS}{{comfymesh_attempt_outcome="OUT_OF_MEMORY"}}[10m]))',
        "0s",
        "warning",
        "{{ printf `%.0f` $value }} attempts ran out of GPU memory in 10 minutes.",
        "out-of-memory",
        above=3,
    ),
    Alert(
        "ComfyMeshDeviceFault",
        f'sum(increase({_ATTEMPTS}{{comfymesh_attempt_outcome="DEVICE_FAULT"}}[10m]))',
        "0s",
        "error",
        "{{ printf `%.0f` $value }} attempts met a broken GPU in 10 minutes.",
        "gpu-errors",
        above=0,
    ),
    Alert(
        "ComfyMeshStalled",
        f'sum(increase({_ATTEMPTS}{{comfymesh_attempt_outcome="STALLED"}}[10m]))',
        "0s",
        "warning",
        "{{ printf `%.0f` $value }} attempts stood still in 10 minutes.",
        "stalled-task",
        above=0,
    ),
    Alert(
        "ComfyMeshNodeSilent",
        'sum(comfymesh_node_count{comfymesh_node_state="silent"})',
        "1m",
        "error",
        "{{ $value }} nodes do not report.",
        "node-lost",
        above=0,
    ),
    Alert(
        "ComfyMeshInstanceDown",
        "max by (comfymesh_node, comfymesh_instance)"
        ' (comfymesh_instance_state{comfymesh_instance_state=~"DOWN|QUARANTINED"})',
        "2m",
        "error",
        f"Instance {{{{ $labels.comfymesh_instance }}}} of {_NODE} does not serve.",
        "instance-crashed",
        above=0,
    ),
    Alert(
        "ComfyMeshGpuMemory",
        "hw_gpu_memory_usage_bytes / hw_gpu_memory_limit_bytes",
        "15m",
        "warning",
        f"{{{{ $value | humanizePercentage }}}} of the memory of a GPU of {_NODE} is in use.",
        "gpu-memory",
        above=0.97,
    ),
    Alert(
        "ComfyMeshGpuHot",
        "hw_temperature_celsius",
        "5m",
        "warning",
        f"A GPU of {_NODE} has {{{{ $value }}}} degrees.",
        "gpu-temperature",
        above=88,
    ),
    Alert(
        "ComfyMeshGpuErrors",
        "comfymesh_gpu_uncorrected_errors",
        "0s",
        "error",
        f"A GPU of {_NODE} has met {{{{ $value }}}} errors of its memory.",
        "gpu-errors",
        above=0,
    ),
    Alert(
        "ComfyMeshDiskLow",
        "comfymesh:host_disk_free:ratio",
        "5m",
        "warning",
        f"{{{{ $value | humanizePercentage }}}} of the disk of {_NODE} is free.",
        "disk-low",
        below=0.1,
    ),
    Alert(
        "ComfyMeshMemoryLow",
        "comfymesh:host_memory_free:ratio",
        "5m",
        "warning",
        f"{{{{ $value | humanizePercentage }}}} of the memory of {_NODE} is free.",
        "memory-low",
        below=0.05,
    ),
    Alert(
        "ComfyMeshBehindLog",
        "max by (instance) (comfymesh_log_lag_seconds)",
        "1m",
        "error",
        f"{_SERVICE} is {{{{ $value | humanizeDuration }}}} behind the task log.",
        "behind-the-log",
        above=10,
    ),
    Alert(
        "ComfyMeshWatchersBehind",
        "sum by (instance) (comfymesh_watcher_behind)",
        "5m",
        "warning",
        f"{{{{ $value }}}} watchers at {_SERVICE} are served from the log.",
        "watchers-behind",
        above=100,
    ),
    Alert(
        "ComfyMeshCallsBreak",
        "comfymesh:rpc_broken:ratio5m",
        "5m",
        "error",
        "{{ $value | humanizePercentage }} of calls end by a defect.",
        "calls-break",
        above=0.01,
    ),
    Alert(
        "ComfyMeshLoopLate",
        "max by (instance) (comfymesh_event_loop_delay_seconds)",
        "5m",
        "warning",
        f"The event loop of {_SERVICE} is late by {{{{ $value | humanizeDuration }}}}.",
        "event-loop-late",
        above=1,
    ),
    Alert(
        "ComfyMeshNoticesFail",
        'sum(increase(comfymesh_notice_told_total{comfymesh_notice_outcome="failed"}[15m]))',
        "0s",
        "error",
        "{{ printf `%.0f` $value }} notices could not be delivered.",
        "notices-fail",
        above=0,
    ),
)
