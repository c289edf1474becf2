"""The dashboards."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.stack.observability.alerting import ALERTS
from comfymesh.stack.observability.model import Dashboard, Panel, Query
from comfymesh.stack.observability.panels import (
    BYTES,
    RATE,
    SECONDS,
    SHARE,
    TASKS,
    heat,
    lines,
    mean,
    number,
    quantile,
    quantiles,
    rate,
)
from comfymesh.telemetry import catalogue

_STATES = "comfymesh_task_state"

FLEET = Dashboard(
    "comfymesh-fleet",
    "ComfyMesh / fleet",
    (
        number("nodes open", TASKS, 'sum(comfymesh_node_count{comfymesh_node_state="open"})'),
        number("nodes silent", TASKS, 'sum(comfymesh_node_count{comfymesh_node_state="silent"})'),
        number("slots held", SHARE, "comfymesh:slot_use:ratio"),
        number("instances down", TASKS, 'sum(comfymesh_instance_state{comfymesh_instance_state=~"DOWN|QUARANTINED"})'),
        lines("instances whose breaker is open", TASKS, ("sum(comfymesh_breaker_open)", "open")),
        lines("nodes", TASKS, ("sum by (comfymesh_node_state) (comfymesh_node_count)", "{{comfymesh_node_state}}")),
        lines(
            "slots",
            TASKS,
            ("sum by (comfymesh_slot_state) (comfymesh_slot_count)", "{{comfymesh_slot_state}}"),
            stacked=True,
        ),
        lines(
            "instances by state",
            TASKS,
            ("sum by (comfymesh_instance_state) (comfymesh_instance_state)", "{{comfymesh_instance_state}}"),
            stacked=True,
        ),
        lines(
            "attempts held",
            TASKS,
            (
                "sum by (comfymesh_node, comfymesh_instance) (comfymesh_instance_held)",
                "{{comfymesh_node}}/{{comfymesh_instance}}",
            ),
        ),
        lines("GPU use", SHARE, ("hw_gpu_utilization_ratio", "{{comfymesh_node}} {{hw_id}}")),
        lines(
            "GPU memory",
            SHARE,
            ("hw_gpu_memory_usage_bytes / hw_gpu_memory_limit_bytes", "{{comfymesh_node}} {{hw_id}}"),
        ),
        lines("GPU temperature", "celsius", ("hw_temperature_celsius", "{{comfymesh_node}} {{hw_id}}")),
        lines("GPU memory errors", TASKS, ("comfymesh_gpu_uncorrected_errors", "{{comfymesh_node}} {{hw_id}}")),
        lines(
            "memory of instances",
            BYTES,
            (
                "sum by (comfymesh_node, comfymesh_instance) (comfymesh_instance_memory_bytes)",
                "{{comfymesh_node}}/{{comfymesh_instance}}",
            ),
        ),
        lines("host memory free", SHARE, ("comfymesh:host_memory_free:ratio", "{{comfymesh_node}}")),
        lines("host disk free", SHARE, ("comfymesh:host_disk_free:ratio", "{{comfymesh_node}}")),
    ),
)

QUEUE = Dashboard(
    "comfymesh-queue",
    "ComfyMesh / queue and latency",
    (
        number("waiting", TASKS, "sum(comfymesh_queue_depth)"),
        number("oldest waits", SECONDS, "max(comfymesh_queue_age_seconds)"),
        number("tasks a second", RATE, rate(catalogue.TASKS_ENDED)),
        number("failed, of all", SHARE, "comfymesh:task_failure:ratio5m"),
        lines(
            "waiting by priority",
            TASKS,
            ("sum by (comfymesh_priority) (comfymesh_queue_depth)", "{{comfymesh_priority}}"),
            stacked=True,
        ),
        lines(
            "age of the oldest",
            SECONDS,
            ("max by (comfymesh_priority) (comfymesh_queue_age_seconds)", "{{comfymesh_priority}}"),
        ),
        lines(
            "in and out",
            RATE,
            (rate(catalogue.TASKS_CREATED), "created"),
            (rate(catalogue.TASKS_ENDED, _STATES), "{{comfymesh_task_state}}"),
        ),
        lines(
            "attempts that ended badly",
            RATE,
            (
                rate(catalogue.ATTEMPTS, "comfymesh_attempt_outcome", '{comfymesh_attempt_outcome!="SUCCEEDED"}'),
                "{{comfymesh_attempt_outcome}}",
            ),
            stacked=True,
        ),
        quantiles("from creation to the end", catalogue.TASK_TIME),
        quantiles("waiting", catalogue.WAITED),
        quantiles("loading", catalogue.LOADED),
        quantiles("running", catalogue.RAN),
        quantiles("storing", catalogue.STORED),
        lines(
            "placements",
            RATE,
            (rate(catalogue.PLACEMENTS, "comfymesh_placement_reason"), "{{comfymesh_placement_reason}}"),
            stacked=True,
        ),
        lines(
            "models found in memory",
            SHARE,
            ("comfymesh:affinity_hit:ratio5m", "share of attempts"),
            tells="Of attempts whose graphs name models: those that loaded none.",
        ),
        lines("model files loaded", RATE, (rate(catalogue.MODEL_LOADS, "comfymesh_model"), "{{comfymesh_model}}")),
        lines("outputs stored", "Bps", (rate(catalogue.ARTIFACT_BYTES), "bytes a second")),
    ),
)

SERVICES = Dashboard(
    "comfymesh-services",
    "ComfyMesh / services",
    (
        number("schedulers that act", TASKS, "sum(comfymesh_scheduler_leading) or vector(0)", "Always one."),
        number("services up", TASKS, 'sum(up{job="comfymesh"})'),
        number("behind the log", SECONDS, "max(comfymesh_log_lag_seconds)"),
        number("watchers", TASKS, "sum(comfymesh_watcher_count)"),
        lines(
            "calls",
            RATE,
            ("sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count[$__rate_interval]))", "{{rpc_method}}"),
        ),
        Panel(
            "duration of calls, p99",
            SECONDS,
            (Query(quantile(0.99, catalogue.RPC_DURATION, "rpc_method"), "{{rpc_method}}"),),
            tells="Of streams, as long as somebody listened.",
            exemplars=True,
        ),
        lines(
            "calls by outcome",
            RATE,
            (
                "sum by (rpc_response_status_code) (rate(rpc_server_call_duration_seconds_count[$__rate_interval]))",
                "{{rpc_response_status_code}}",
            ),
            stacked=True,
        ),
        lines("refusals", RATE, (rate(catalogue.REFUSALS, "comfymesh_reason"), "{{comfymesh_reason}}"), stacked=True),
        lines("calls under way", TASKS, ("sum by (instance) (comfymesh_rpc_active)", "{{instance}}")),
        lines(
            "watchers",
            TASKS,
            ("sum by (comfymesh_watcher_kind) (comfymesh_watcher_count)", "of {{comfymesh_watcher_kind}}"),
            ("sum(comfymesh_watcher_behind)", "behind"),
        ),
        lines(
            "changes not told yet",
            TASKS,
            (
                "sum by (comfymesh_watcher_kind) (comfymesh_watcher_pending)",
                "to watchers of {{comfymesh_watcher_kind}}",
            ),
        ),
        lines("behind the log", SECONDS, ("max by (instance) (comfymesh_log_lag_seconds)", "{{instance}}")),
        lines(
            "messages in streams",
            TASKS,
            ("max by (comfymesh_stream) (comfymesh_stream_messages)", "{{comfymesh_stream}}"),
        ),
        lines(
            "size of streams",
            BYTES,
            ("max by (comfymesh_stream) (comfymesh_stream_size_bytes)", "{{comfymesh_stream}}"),
            stacked=True,
        ),
        lines("blobs removed", RATE, (rate(catalogue.BLOBS_REMOVED), "a second")),
        lines("decisions", RATE, (rate(catalogue.DECISIONS), "a second")),
        lines("notices", RATE, (rate(catalogue.NOTICES, "comfymesh_notice_outcome"), "{{comfymesh_notice_outcome}}")),
        lines(
            "CPU",
            TASKS,
            ("sum by (instance) (rate(process_cpu_time_seconds_total[$__rate_interval]))", "{{instance}}"),
            stacked=True,
        ),
        lines("memory", BYTES, ("process_memory_usage_bytes", "{{instance}}"), stacked=True),
        lines("event loop is late by", SECONDS, ("comfymesh_event_loop_delay_seconds", "{{instance}}")),
        lines(
            "open files and threads",
            TASKS,
            ("process_unix_file_descriptor_count", "files {{instance}}"),
            ("process_thread_count", "threads {{instance}}"),
        ),
        number("shortest life", SECONDS, "min(process_uptime_seconds)", "What has just been started again shows here."),
    ),
)

_OF_TENANT = '{comfymesh_tenant=~"$tenant"}'


def _gpu_time(span: str) -> str:
    return f"sum by (comfymesh_tenant) (increase(comfymesh_gpu_time_seconds_total{_OF_TENANT}[{span}]))"


TENANTS = Dashboard(
    "comfymesh-tenants",
    "ComfyMesh / tenants and usage",
    (
        lines(
            "waiting",
            TASKS,
            (f"sum by (comfymesh_tenant) (comfymesh_tenant_waiting{_OF_TENANT})", "{{comfymesh_tenant}}"),
            stacked=True,
        ),
        lines(
            "running",
            TASKS,
            (f"sum by (comfymesh_tenant) (comfymesh_tenant_running{_OF_TENANT})", "{{comfymesh_tenant}}"),
            stacked=True,
        ),
        lines(
            "oldest waits",
            SECONDS,
            (f"max by (comfymesh_tenant) (comfymesh_tenant_age_seconds{_OF_TENANT})", "{{comfymesh_tenant}}"),
        ),
        lines(
            "created",
            RATE,
            (
                rate(catalogue.TASKS_CREATED, "comfymesh_tenant", _OF_TENANT),
                "{{comfymesh_tenant}}",
            ),
            stacked=True,
        ),
        lines(
            "ended",
            RATE,
            (
                rate(catalogue.TASKS_ENDED, "comfymesh_tenant, comfymesh_task_state", _OF_TENANT),
                "{{comfymesh_tenant}} {{comfymesh_task_state}}",
            ),
            stacked=True,
        ),
        lines(
            "instances in use",
            TASKS,
            (
                rate(catalogue.GPU_TIME, "comfymesh_tenant", _OF_TENANT),
                "{{comfymesh_tenant}}",
            ),
            stacked=True,
            tells="GPU-seconds a second: how many instances a tenant has kept busy in the mean.",
        ),
        lines(
            "share of GPU time, last hour",
            SHARE,
            (
                f"{_gpu_time('1h')} / scalar(clamp_min(sum(increase(comfymesh_gpu_time_seconds_total[1h])), 1e-9))",
                "{{comfymesh_tenant}}",
            ),
        ),
        lines(
            "GPU-seconds, last day",
            SECONDS,
            (
                _gpu_time("1d"),
                "{{comfymesh_tenant}}",
            ),
        ),
    ),
    (("tenant", "label_values(comfymesh_task_created_total, comfymesh_tenant)"),),
)

_PHASES = (
    ("waiting", catalogue.WAITED),
    ("loading", catalogue.LOADED),
    ("running", catalogue.RAN),
    ("storing", catalogue.STORED),
)

TASK = Dashboard(
    "comfymesh-task",
    "ComfyMesh / one task's life",
    (
        lines(
            "where the time goes",
            SECONDS,
            *((mean(histogram), phase) for phase, histogram in _PHASES),
            stacked=True,
            tells="Means of the phases, one on the other. Loading is that of attempts which loaded.",
        ),
        heat("from creation to the end", catalogue.TASK_TIME),
        *(heat(phase, histogram) for phase, histogram in _PHASES),
        lines(
            "tries a task",
            TASKS,
            (
                f"{rate(catalogue.ATTEMPTS)} / clamp_min({rate(catalogue.TASKS_ENDED)}, 1e-9)",
                "attempts a task that ended",
            ),
        ),
    ),
)


def _signals() -> Iterator[Panel]:
    for alert in ALERTS:
        bound = alert.above if alert.above is not None else alert.below
        word = "above" if alert.above is not None else "below"
        queries = (Query(alert.signal), Query(f"vector({bound:g})", f"fires {word}"))
        yield Panel(alert.name, "none", queries, tells=f"{alert.summary} See {alert.runbook} in the runbooks.")


ALERTING = Dashboard(
    "comfymesh-alerts",
    "ComfyMesh / alerts",
    (
        number("firing", TASKS, 'count(ALERTS{alertstate="firing", alertname!="ComfyMeshWatchdog"}) or vector(0)'),
        number("pending", TASKS, 'count(ALERTS{alertstate="pending"}) or vector(0)'),
        number("alerting works", TASKS, 'count(ALERTS{alertname="ComfyMeshWatchdog"})'),
        *_signals(),
    ),
)

ALL = (FLEET, QUEUE, SERVICES, TENANTS, TASK, ALERTING)
