"""A task is one trace, from the span of whoever asked for it to each graph node and the commit, whatever it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import TracerProvider

from comfymesh.client import AsyncClient, TaskFailed
from comfymesh.stack import mesh
from comfymesh.stack.observability import load
from comfymesh.stack.observability.collector import Collector, Sent, collecting

GRAPH = Path(__file__).parents[2] / "data" / "comfyui" / "workflows" / "01-empty-save.json"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Story:
    """What a mesh has told of tasks that were run once well, once again, and once in vain."""

    def __init__(self, collector: Collector, caller: int, traces: dict[str, bytes], logs: Path) -> None:
        self.collector = collector
        self.caller = caller
        self.traces = traces
        self._logs = logs

    def of(self, task: str) -> list[Sent]:
        """The spans of one of them."""
        return self.collector.trace(self.traces[task])

    def lines(self, service: str) -> list[dict[str, object]]:
        """What a service has logged."""
        return [json.loads(line) for line in (self._logs / f"{service}.log").read_text().splitlines()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("caller")
    picture = load.picture(steps=3)
    async with collecting() as collector:
        settings = {"COMFYMESH_OTLP_ENDPOINT": collector.endpoint, "COMFYMESH_LOG_LEVEL": "debug"}
        folder = tmp_path_factory.mktemp("mesh")
        plan = mesh.MeshPlan(folder, [mesh.emulated()], "127.0.0.1:0", settings)
        traces, callers = dict[str, bytes](), list[int]()
        async with mesh.running(plan) as up, AsyncClient(up.target) as client:
            for name, graph in {"well": picture, "again": picture, "in vain": load.raising("oom_torch")}.items():
                with tracer.start_as_current_span("caller") as span:
                    try:
                        await client.run(graph)
                    except TaskFailed:
                        assert name == "in vain"
                traces[name] = span.get_span_context().trace_id.to_bytes(16)
                callers.append(span.get_span_context().span_id)
        # The processes have ended, and sent what they had left before they did.
        yield Story(collector, callers[0], traces, folder / "logs")


def one(spans: list[Sent], name: str) -> Sent:
    (found,) = (sent for sent in spans if sent.span.name == name)
    return found


async def test_a_trace_begins_with_the_caller_and_passes_api_scheduler_and_agent(story: Story) -> None:
    spans = story.of("well")
    call, wait, attempt = (one(spans, name) for name in ("comfymesh.v1.TaskService/RunTask", "wait", "attempt"))
    assert int.from_bytes(call.span.parent_span_id) == story.caller
    assert [sent.service for sent in (call, wait, attempt)] == [
        "comfymesh-api",
        "comfymesh-scheduler",
        "comfymesh-agent",
    ]
    assert wait.span.parent_span_id == attempt.span.parent_span_id == call.span.span_id
    assert attempt.attributes["comfymesh.attempt"] == 1
    assert attempt.attributes["comfymesh.node"] == "local-0"
    assert attempt.attributes["comfymesh.attempt.end"] == "Succeeded"


@pytest.mark.parametrize("part", ["claim", "stage", "upload", "commit"])
async def test_an_attempt_has_its_parts(story: Story, part: str) -> None:
    spans = story.of("well")
    inner, attempt = one(spans, part).span, one(spans, "attempt").span
    assert inner.parent_span_id == attempt.span_id
    assert attempt.start_time_unix_nano <= inner.start_time_unix_nano <= inner.end_time_unix_nano
    assert inner.end_time_unix_nano <= attempt.end_time_unix_nano


async def test_each_graph_node_has_a_span_that_says_whether_it_was_cached(story: Story) -> None:
    classes = {"CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode", "SaveImage"}
    first = {s.span.name: s for s in story.of("well") if s.span.name in classes}
    again = {s.span.name: s for s in story.of("again") if s.span.name in classes}
    assert first.keys() == classes
    assert not any(sent.attributes["comfymesh.cached"] for sent in first.values())
    assert first["KSampler"].attributes["comfymesh.graph_node"] == "4"
    assert {name for name, sent in again.items() if sent.attributes["comfymesh.cached"]} >= {"KSampler", "VAEDecode"}


async def test_graph_nodes_follow_each_other_within_the_attempt(story: Story) -> None:
    spans = story.of("well")
    attempt = one(spans, "attempt").span
    nodes = [sent.span for sent in spans if "comfymesh.graph_node" in sent.attributes]
    assert all(node.parent_span_id == attempt.span_id for node in nodes)
    assert all(one.end_time_unix_nano <= next_.start_time_unix_nano for one, next_ in pairwise(nodes))


async def test_a_retry_links_to_every_attempt_before_it(story: Story) -> None:
    attempts = [sent for sent in story.of("in vain") if sent.span.name == "attempt"]
    assert [sent.attributes["comfymesh.attempt"] for sent in attempts] == [1, 2, 3]
    assert {sent.attributes["error.type"] for sent in attempts} == {"OUT_OF_MEMORY"}
    ids = [sent.span.span_id for sent in attempts]
    assert [[link.span_id for link in sent.span.links] for sent in attempts] == [[], ids[:1], ids[:2]]


async def test_lines_of_the_agent_name_the_task_and_its_trace(story: Story) -> None:
    told = [line for line in story.lines("agent") if line.get("trace_id") == story.traces["well"].hex()]
    assert told
    task = one(story.of("well"), "attempt").attributes["comfymesh.task"]
    named = {"task": task, "tenant": "default", "attempt": 1, "node": "local-0"}
    assert all(line.items() >= named.items() for line in told)


async def test_no_service_logs_a_prompt(story: Story) -> None:
    logged = [json.dumps(line) for service in ("api", "scheduler", "agent") for line in story.lines(service)]
    assert len(logged) > 10
    assert not any("lighthouse" in line for line in logged)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1"])
async def test_a_collector_that_is_down_stops_nobody(endpoint: str, tmp_path: Path) -> None:
    plan = mesh.MeshPlan(tmp_path, [mesh.emulated()], "127.0.0.1:0", {"COMFYMESH_OTLP_ENDPOINT": endpoint})
    async with mesh.running(plan) as up, AsyncClient(up.target) as client:
        result = await client.run(GRAPH)
    assert result.artifacts


async def test_metrics_are_sent_to_the_same_collector_and_name_traces(story: Story) -> None:
    measured = story.collector.measured
    ended = measured["comfymesh-scheduler", "comfymesh.task.ended"].sum
    assert sum(point.as_double for point in ended.data_points) == len(story.traces)
    took = measured["comfymesh-scheduler", "comfymesh.task.duration"].histogram.data_points
    assert sum(point.count for point in took) == len(story.traces)
    assert {example.trace_id for point in took for example in point.exemplars} <= set(story.traces.values())
    assert all(point.exemplars for point in took)
    calls = measured["comfymesh-api", "rpc.server.call.duration"].histogram.data_points
    methods = {a.value.string_value for point in calls for a in point.attributes if a.key == "rpc.method"}
    assert "comfymesh.v1.TaskService/RunTask" in methods
