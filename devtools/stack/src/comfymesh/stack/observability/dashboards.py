"""The dashboards."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.stack.observability.alerting import ALERTS
from comfymesh.stack.observability.model import Dashboard, Look, Panel, Query
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.instrument import Instrument

_TASKS, _SECONDS, _SHARE, _BYTES, _RATE = "short", "s", "percentunit", "bytes", "ops"


def _lines(title: str, unit: str, *queries: tuple[str, str], stacked: bool = False, tells: str = "") -> Panel:
    return Panel(title, unit, tuple(Query(*query) for query in queries), stacked=stacked, tells=tells)


def _number(title: str, unit: str, expression: str, tells: str = "") -> Panel:
    return Panel(title, unit, (Query(expression),), Look.NUMBER, tells)


def _rate(counter: Instrument, by: str = "", where: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({counter.prometheus_name}{where}[$__rate_interval]))"


def _quantile(share: float, histogram: Instrument, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    rate = f"rate({histogram.prometheus_name}_bucket[$__rate_interval])"
    quantile = f"histogram_quantile({share:g}, sum by ({labels}) ({rate}))"
    # Of what did not happen lately there is no quantile: it is left out where there are others.
    return f"{quantile} >= 0" if by else quantile


def _quantiles(title: str, histogram: Instrument) -> Panel:
    queries = tuple(Query(_quantile(share, histogram), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99))
    return Panel(title, _SECONDS, queries, tells=histogram.description, exemplars=True)


def _mean(histogram: Instrument) -> str:
    name, interval = histogram.prometheus_name, "[$__rate_interval]"
    return f"sum(rate({name}_sum{interval})) / clamp_min(sum(rate({name}_count{interval})), 1e-9)"


def _heat(title: str, histogram: Instrument) -> Panel:
    expression = f"sum by (le) (increase({histogram.prometheus_name}_bucket[$__rate_interval]))"
    return Panel(title, _SECONDS, (Query(expression, "{{le}}"),), Look.HEAT, histogram.description, exemplars=True)


_STATES = "comfymesh_task_state"

FLEET = Dashboard(
    "comfymesh-fleet",
    "ComfyMesh / fleet",
    (
        _number("nodes open", _TASKS, 'sum(comfymesh_node_count{comfymesh_node_state="open"})'),
        _number("nodes silent", _TASKS, 'sum(comfymesh_node_count{comfymesh_node_state="silent"})'),
        _number("slots held", _SHARE, "comfymesh:slot_use:ratio"),
        _number(
            "instances down", _TASKS, 'sum(comfymesh_instance_state{comfymesh_instance_state=~"DOWN|QUARANTINED"})'
        ),
        _lines("instances whose breaker is open", _TASKS, ("sum(comfymesh_breaker_open)", "open")),
        _lines("nodes", _TASKS, ("sum by (comfymesh_node_state) (comfymesh_node_count)", "{{comfymesh_node_state}}")),
        _lines(
            "slots",
            _TASKS,
            ("sum by (comfymesh_slot_state) (comfymesh_slot_count)", "{{comfymesh_slot_state}}"),
            stacked=True,
        ),
        _lines(
            "instances by state",
            _TASKS,
            ("sum by (comfymesh_instance_state) (comfymesh_instance_state)", "{{comfymesh_instance_state}}"),
            stacked=True,
        ),
        _lines(
            "attempts held",
            _TASKS,
            (
                "sum by (comfymesh_node, comfymesh_instance) (comfymesh_instance_held)",
                "{{comfymesh_node}}/{{comfymesh_instance}}",
            ),
        ),
        _lines("GPU use", _SHARE, ("hw_gpu_utilization_ratio", "{{comfymesh_node}} {{hw_id}}")),
        _lines(
            "GPU memory",
            _SHARE,
            ("hw_gpu_memory_usage_bytes / hw_gpu_memory_limit_bytes", "{{comfymesh_node}} {{hw_id}}"),
        ),
        _lines("GPU temperature", "celsius", ("hw_temperature_celsius", "{{comfymesh_node}} {{hw_id}}")),
        _lines("GPU memory errors", _TASKS, ("comfymesh_gpu_uncorrected_errors", "{{comfymesh_node}} {{hw_id}}")),
        _lines(
            "memory of instances",
            _BYTES,
            (
                "sum by (comfymesh_node, comfymesh_instance) (comfymesh_instance_memory_bytes)",
                "{{comfymesh_node}}/{{comfymesh_instance}}",
            ),
        ),
        _lines("host memory free", _SHARE, ("comfymesh:host_memory_free:ratio", "{{comfymesh_node}}")),
        _lines("host disk free", _SHARE, ("comfymesh:host_disk_free:ratio", "{{comfymesh_node}}")),
    ),
)

QUEUE = Dashboard(
    "comfymesh-queue",
    "ComfyMesh / queue and latency",
    (
        _number("waiting", _TASKS, "sum(comfymesh_queue_depth)"),
        _number("oldest waits", _SECONDS, "max(comfymesh_queue_age_seconds)"),
        _number("tasks a second", _RATE, "sum(comfymesh:task_ended:rate5m)"),
        _number("failed, of all", _SHARE, "comfymesh:task_failure:ratio5m"),
        _lines(
            "waiting by priority",
            _TASKS,
            ("sum by (comfymesh_priority) (comfymesh_queue_depth)", "{{comfymesh_priority}}"),
            stacked=True,
        ),
        _lines(
            "age of the oldest",
            _SECONDS,
            ("max by (comfymesh_priority) (comfymesh_queue_age_seconds)", "{{comfymesh_priority}}"),
        ),
        _lines(
            "in and out",
            _RATE,
            (_rate(catalogue.TASKS_CREATED), "created"),
            (_rate(catalogue.TASKS_ENDED, _STATES), "{{comfymesh_task_state}}"),
        ),
        _lines(
            "attempts that ended badly",
            _RATE,
            (
                _rate(catalogue.ATTEMPTS, "comfymesh_attempt_outcome", '{comfymesh_attempt_outcome!="SUCCEEDED"}'),
                "{{comfymesh_attempt_outcome}}",
            ),
            stacked=True,
        ),
        _quantiles("from creation to the end", catalogue.TASK_TIME),
        _quantiles("waiting", catalogue.WAITED),
        _quantiles("loading", catalogue.LOADED),
        _quantiles("running", catalogue.RAN),
        _quantiles("storing", catalogue.STORED),
        _lines(
            "placements",
            _RATE,
            (_rate(catalogue.PLACEMENTS, "comfymesh_placement_reason"), "{{comfymesh_placement_reason}}"),
            stacked=True,
        ),
        _lines(
            "models found in memory",
            _SHARE,
            ("comfymesh:affinity_hit:ratio5m", "share of attempts"),
            tells="Of attempts whose graphs name models: those that loaded none.",
        ),
        _lines("model files loaded", _RATE, (_rate(catalogue.MODEL_LOADS, "comfymesh_model"), "{{comfymesh_model}}")),
        _lines("outputs stored", "Bps", (_rate(catalogue.ARTIFACT_BYTES), "bytes a second")),
    ),
)

SERVICES = Dashboard(
    "comfymesh-services",
    "ComfyMesh / services",
    (
        _number("schedulers that act", _TASKS, "sum(comfymesh_scheduler_leading) or vector(0)", "Always one."),
        _number("services up", _TASKS, 'sum(up{job="comfymesh"})'),
        _number("behind the log", _SECONDS, "max(comfymesh_log_lag_seconds)"),
        _number("watchers", _TASKS, "sum(comfymesh_watcher_count)"),
        _lines(
            "calls",
            _RATE,
            ("sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count[$__rate_interval]))", "{{rpc_method}}"),
        ),
        Panel(
            "duration of calls, p99",
            _SECONDS,
            (Query(_quantile(0.99, catalogue.RPC_DURATION, "rpc_method"), "{{rpc_method}}"),),
            tells="Of streams, as long as somebody listened.",
            exemplars=True,
        ),
        _lines(
            "calls by outcome",
            _RATE,
            (
                "sum by (rpc_response_status_code) (rate(rpc_server_call_duration_seconds_count[$__rate_interval]))",
                "{{rpc_response_status_code}}",
            ),
            stacked=True,
        ),
        _lines(
            "refusals", _RATE, (_rate(catalogue.REFUSALS, "comfymesh_reason"), "{{comfymesh_reason}}"), stacked=True
        ),
        _lines("calls under way", _TASKS, ("sum by (instance) (comfymesh_rpc_active)", "{{instance}}")),
        _lines(
            "watchers",
            _TASKS,
            ("sum by (comfymesh_watcher_kind) (comfymesh_watcher_count)", "of {{comfymesh_watcher_kind}}"),
            ("sum(comfymesh_watcher_behind)", "behind"),
        ),
        _lines(
            "changes not told yet",
            _TASKS,
            (
                "sum by (comfymesh_watcher_kind) (comfymesh_watcher_pending)",
                "to watchers of {{comfymesh_watcher_kind}}",
            ),
        ),
        _lines("behind the log", _SECONDS, ("max by (instance) (comfymesh_log_lag_seconds)", "{{instance}}")),
        _lines(
            "messages in streams",
            _TASKS,
            ("max by (comfymesh_stream) (comfymesh_stream_messages)", "{{comfymesh_stream}}"),
        ),
        _lines(
            "size of streams",
            _BYTES,
            ("max by (comfymesh_stream) (comfymesh_stream_size_bytes)", "{{comfymesh_stream}}"),
            stacked=True,
        ),
        _lines("blobs removed", _RATE, (_rate(catalogue.BLOBS_REMOVED), "a second")),
        _lines("decisions", _RATE, (_rate(catalogue.DECISIONS), "a second")),
        _lines(
            "notices", _RATE, (_rate(catalogue.NOTICES, "comfymesh_notice_outcome"), "{{comfymesh_notice_outcome}}")
        ),
        _lines(
            "CPU",
            _TASKS,
            ("sum by (instance) (rate(process_cpu_time_seconds_total[$__rate_interval]))", "{{instance}}"),
            stacked=True,
        ),
        _lines("memory", _BYTES, ("process_memory_usage_bytes", "{{instance}}"), stacked=True),
        _lines("event loop is late by", _SECONDS, ("comfymesh_event_loop_delay_seconds", "{{instance}}")),
        _lines(
            "open files and threads",
            _TASKS,
            ("process_unix_file_descriptor_count", "files {{instance}}"),
            ("process_thread_count", "threads {{instance}}"),
        ),
        _number(
            "shortest life", _SECONDS, "min(process_uptime_seconds)", "What has just been started again shows here."
        ),
    ),
)

_OF_TENANT = '{comfymesh_tenant=~"$tenant"}'


def _gpu_time(span: str) -> str:
    return f"sum by (comfymesh_tenant) (increase(comfymesh_gpu_time_seconds_total{_OF_TENANT}[{span}]))"


TENANTS = Dashboard(
    "comfymesh-tenants",
    "ComfyMesh / tenants and usage",
    (
        _lines(
            "waiting",
            _TASKS,
            (f"sum by (comfymesh_tenant) (comfymesh_tenant_waiting{_OF_TENANT})", "{{comfymesh_tenant}}"),
            stacked=True,
        ),
        _lines(
            "running",
            _TASKS,
            (f"sum by (comfymesh_tenant) (comfymesh_tenant_running{_OF_TENANT})", "{{comfymesh_tenant}}"),
            stacked=True,
        ),
        _lines(
            "oldest waits",
            _SECONDS,
            (f"max by (comfymesh_tenant) (comfymesh_tenant_age_seconds{_OF_TENANT})", "{{comfymesh_tenant}}"),
        ),
        _lines(
            "created",
            _RATE,
            (
                _rate(catalogue.TASKS_CREATED, "comfymesh_tenant", _OF_TENANT),
                "{{comfymesh_tenant}}",
            ),
            stacked=True,
        ),
        _lines(
            "ended",
            _RATE,
            (
                _rate(catalogue.TASKS_ENDED, "comfymesh_tenant, comfymesh_task_state", _OF_TENANT),
                "{{comfymesh_tenant}} {{comfymesh_task_state}}",
            ),
            stacked=True,
        ),
        _lines(
            "instances in use",
            _TASKS,
            (
                _rate(catalogue.GPU_TIME, "comfymesh_tenant", _OF_TENANT),
                "{{comfymesh_tenant}}",
            ),
            stacked=True,
            tells="GPU-seconds a second: how many instances a tenant has kept busy in the mean.",
        ),
        _lines(
            "share of GPU time, last hour",
            _SHARE,
            (
                f"{_gpu_time('1h')} / scalar(clamp_min(sum(increase(comfymesh_gpu_time_seconds_total[1h])), 1e-9))",
                "{{comfymesh_tenant}}",
            ),
        ),
        _lines(
            "GPU-seconds, last day",
            _SECONDS,
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
        _lines(
            "where the time goes",
            _SECONDS,
            *((_mean(histogram), phase) for phase, histogram in _PHASES),
            stacked=True,
            tells="Means of the phases, one on the other. Loading is that of attempts which loaded.",
        ),
        _heat("from creation to the end", catalogue.TASK_TIME),
        *(_heat(phase, histogram) for phase, histogram in _PHASES),
        _lines(
            "tries a task",
            _TASKS,
            (
                f"{_rate(catalogue.ATTEMPTS)} / clamp_min({_rate(catalogue.TASKS_ENDED)}, 1e-9)",
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
        _number("firing", _TASKS, 'count(ALERTS{alertstate="firing", alertname!="ComfyMeshWatchdog"}) or vector(0)'),
        _number("pending", _TASKS, 'count(ALERTS{alertstate="pending"}) or vector(0)'),
        _number("alerting works", _TASKS, 'count(ALERTS{alertname="ComfyMeshWatchdog"})'),
        *_signals(),
    ),
)

ALL = (FLEET, QUEUE, SERVICES, TENANTS, TASK, ALERTING)
