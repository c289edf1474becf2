"""Bad input: each a clear status with a reason and details, all violations at once, and nothing is the worse for it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, task_of
from comfymesh.testkit.refusals import Refusal, refused
from comfymesh.v1 import asset_service_pb2, fleet_service_pb2, task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

CreateRequest = task_service_pb2.CreateTaskRequest
NOBODY = "0" * 64


@pytest.fixture(autouse=True)
async def _still_works(mesh: LocalMesh) -> AsyncIterator[None]:
    """Whatever a test sends, the mesh takes it and goes on: nobody has died, nobody has logged a defect."""
    before = {name: mesh.process(name).pid for name in ("api", "scheduler", "agent", "nats")}
    yield
    assert {name: mesh.process(name).pid for name in before} == before
    for name in before:
        assert "Traceback" not in mesh.log(name), f"{name} logged a defect"


async def refuse(mesh: LocalMesh, task: task_pb2.Task, **request: Any) -> Refusal:
    """How CreateTask refuses a task; RunTask and a mere validation must do just the same."""
    created = await refused(mesh.tasks.CreateTask(CreateRequest(task=task, **request)))
    validated = await refused(mesh.tasks.CreateTask(CreateRequest(task=task, validate_only=True, **request)))
    ran = await refused(mesh.tasks.RunTask(task_service_pb2.RunTaskRequest(task=task, **request)).read())
    assert created == validated == ran
    return created


async def refuse_graph(mesh: LocalMesh, graph: graphs.Graph) -> Refusal:
    return await refuse(mesh, task_of(graph))


class TestText:
    @pytest.mark.parametrize(
        ("text", "problem", "told"),
        [
            ('{"1": ', "NOT_JSON", "line 1"),
            ("not a graph", "NOT_JSON", "line 1"),
            ("[1, 2]", "NOT_AN_OBJECT", "object"),
            ("null", "NOT_AN_OBJECT", "object"),
            ("{}", "EMPTY", "no graph nodes"),
            (json.dumps({"nodes": [], "links": [], "version": 0.4}), "UI_FORMAT", "Export (API)"),
            (json.dumps({"prompt": {"1": graphs.node("A")}, "client_id": "x"}), "REQUEST_BODY", "prompt"),
            ('{"1": 5}', "BAD_NODE", "'1'"),
            ('{"1": {"inputs": {}}}', "BAD_NODE", "class_type"),
            ('{"1": {"class_type": "A", "inputs": {"x": NaN}}}', "BAD_NUMBER", "NaN"),
            ('{"1": {"class_type": "A", "inputs": {"x": 1e999}}}', "BAD_NUMBER", "1e999"),
            ('{"1": {"class_type": "A", "inputs": {}}, "1": {}}', "DUPLICATE_KEY", "'1'"),
            ('{"1": {"class_type": "A", "inputs": {"x": "\\ud800"}}}', "BAD_TEXT", "surrogate"),
            ('{"1": {"class_type": "A", "inputs": {"x": ' + "[" * 5000 + "]" * 5000 + "}}}", "TOO_DEEP", "deep"),
        ],
    )
    async def test_what_is_no_graph_is_refused_with_what_to_do(
        self, mesh: LocalMesh, text: str, problem: str, told: str
    ) -> None:
        refusal = await refuse(mesh, task_pb2.Task(graph_json=text))
        assert refusal.is_ == ("INVALID_ARGUMENT", "GRAPH_UNPARSABLE")
        assert refusal.metadata["problem"] == problem
        assert told in refusal.message
        assert set(refusal.violations) == {"task.graph_json"}

    async def test_a_graph_that_is_too_large_is_refused_with_the_limit(self, mesh: LocalMesh) -> None:
        graph = graphs.picture() | {"5": graphs.node("PreviewAny", source="x" * (5 * 1024 * 1024))}
        refusal = await refuse_graph(mesh, graph)
        assert refusal.is_ == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
        assert int(refusal.metadata["limit_bytes"]) < int(refusal.metadata["size_bytes"])

    @pytest.mark.parametrize("size", [17, 60])
    async def test_a_message_that_is_too_large_is_refused_by_us_with_the_limit(
        self, mesh: LocalMesh, size: int
    ) -> None:
        task = task_pb2.Task(graph_json="x" * (size * 1024 * 1024))
        for call in (
            mesh.tasks.CreateTask(CreateRequest(task=task)),
            mesh.tasks.RunTask(task_service_pb2.RunTaskRequest(task=task)).read(),
        ):
            refusal = await refused(call)
            assert refusal.is_ == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
            assert int(refusal.metadata["size_bytes"]) > size * 1024 * 1024
            assert int(refusal.metadata["limit_bytes"]) == 16 * 1024 * 1024

    async def test_a_message_of_a_stream_that_is_too_large_is_refused_by_us(self, mesh: LocalMesh) -> None:
        part = asset_service_pb2.UploadAssetRequest(data=b"x" * (17 * 1024 * 1024))
        refusal = await refused(mesh.assets.UploadAsset(iter([part])))
        assert refusal.is_ == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")

    async def test_a_graph_with_too_many_graph_nodes_is_refused(self, mesh: LocalMesh) -> None:
        graph = {str(n): graphs.node("A") for n in range(30_000)}
        refusal = await refuse_graph(mesh, graph)
        assert refusal.is_ == ("INVALID_ARGUMENT", "GRAPH_UNPARSABLE")
        assert refusal.metadata["problem"] == "TOO_MANY_NODES"


class TestGraph:
    async def test_an_unknown_class_is_named_with_those_like_it(self, mesh: LocalMesh) -> None:
        graph = graphs.picture() | {"1": graphs.node("EmptyImag", width=16, height=16, batch_size=1, color=0)}
        refusal = await refuse_graph(mesh, graph)
        assert refusal.is_ == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
        assert "did you mean EmptyImage" in refusal.violations["task.graph_json[1]"]

    async def test_all_violations_are_told_at_once(self, mesh: LocalMesh) -> None:
        graph = graphs.text_to_image()
        graph["5"]["inputs"] |= {"steps": "many", "cfg": 1000.0, "sampler_name": "magic"}
        del graph["5"]["inputs"]["scheduler"]
        graph["1"]["inputs"]["ckpt_name"] = "absent.safetensors"
        graph["6"]["inputs"]["vae"] = ["2", 0]
        graph["8"] = graphs.node("SaveImage", images=["77", 0], filename_prefix="x")
        refusal = await refuse_graph(mesh, graph)
        assert refusal.is_ == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
        assert {field: text.partition(":")[0] for field, text in refusal.violations.items()} == {
            "task.graph_json[5].inputs.steps": "invalid_input_type",
            "task.graph_json[5].inputs.cfg": "value_bigger_than_max",
            "task.graph_json[5].inputs.sampler_name": "value_not_in_list",
            "task.graph_json[5].inputs.scheduler": "required_input_missing",
            "task.graph_json[1].inputs.ckpt_name": "value_not_in_list",
            "task.graph_json[6].inputs.vae": "return_type_mismatch",
            "task.graph_json[8].inputs.images": "dangling_link",
        }
        assert refusal.metadata == {"violations": "7"}

    @pytest.mark.parametrize(
        ("field", "kind", "change"),
        [
            (
                "[9].inputs.images",
                "dangling_link",
                {"9": graphs.node("SaveImage", images=["7", 0], filename_prefix="")},
            ),
            (
                "[9].inputs.images",
                "no_such_output",
                {"9": graphs.node("SaveImage", images=["1", 9], filename_prefix="")},
            ),
            ("[9].inputs.images", "bad_linked_input", {"9": graphs.node("SaveImage", images=[], filename_prefix="")}),
            ("", "prompt_no_outputs", {"9": graphs.node("ImageInvert", image=["1", 0])}),
        ],
    )
    async def test_what_leads_nowhere_is_named(
        self, mesh: LocalMesh, field: str, kind: str, change: graphs.Graph
    ) -> None:
        refusal = await refuse_graph(mesh, graphs.picture() | change)
        assert refusal.is_ == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
        assert refusal.violations[f"task.graph_json{field}"].startswith(kind)

    async def test_a_cycle_is_named(self, mesh: LocalMesh) -> None:
        graph = {
            "1": graphs.node("ImageInvert", image=["2", 0]),
            "2": graphs.node("ImageInvert", image=["1", 0]),
            "9": graphs.node("SaveImage", images=["2", 0], filename_prefix="x"),
        }
        refusal = await refuse_graph(mesh, graph)
        assert refusal.is_ == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
        assert any(text.startswith("dependency_cycle") for text in refusal.violations.values())

    async def test_a_graph_of_which_only_a_part_can_run_is_refused(self, mesh: LocalMesh) -> None:
        graph = graphs.picture() | {"8": graphs.node("SaveImage", images=["7", 0], filename_prefix="x")}
        refusal = await refuse_graph(mesh, graph)
        assert refusal.is_ == ("INVALID_ARGUMENT", "PARTIAL_OUTPUTS")
        assert set(refusal.violations) == {"task.graph_json[8].inputs.images"}


class TestFields:
    async def test_every_wrong_field_is_told_at_once(self, mesh: LocalMesh) -> None:
        task = task_of(
            graphs.picture(),
            display_name="x" * 129,
            priority=101,
            labels={"Not Allowed": "x", "long": "x" * 129},
            max_retries=-1,
            execution_timeout={"seconds": 25 * 3600},
            inputs={
                "no-dot": task_pb2.InputValue(int64_value=1),
                "1.width": task_pb2.InputValue(),
                "1.height": task_pb2.InputValue(asset="assets/short"),
                "1.color": task_pb2.InputValue(double_value=float("nan")),
            },
        )
        refusal = await refuse(mesh, task, task_id="Not An Id", request_id="not-a-uuid")
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {
            "task_id",
            "request_id",
            "task.display_name",
            "task.priority",
            "task.labels[Not Allowed]",
            "task.labels[long]",
            "task.max_retries",
            "task.execution_timeout",
            "task.inputs[no-dot]",
            "task.inputs[1.width]",
            "task.inputs[1.height]",
            "task.inputs[1.color]",
        }
        assert all(refusal.violations.values())

    async def test_an_input_that_comfyui_would_ignore_is_told_with_those_like_it(self, mesh: LocalMesh) -> None:
        given = {"1.widht": task_pb2.InputValue(int64_value=64), "1.height": task_pb2.InputValue(int64_value=64)}
        refusal = await refuse(mesh, task_of(graphs.picture(), inputs=given))
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"task.inputs[1.widht]"}
        assert refusal.violations["task.inputs[1.widht]"].endswith("did you mean width?")

    async def test_one_that_the_graph_has_itself_is_its_authors_business(self, mesh: LocalMesh) -> None:
        graph = graphs.picture()
        graph["1"]["inputs"]["widht"] = 1
        task = task_of(graph, inputs={"1.widht": task_pb2.InputValue(int64_value=64)})
        await mesh.tasks.CreateTask(CreateRequest(task=task, validate_only=True))

    async def test_a_task_without_a_graph_is_refused(self, mesh: LocalMesh) -> None:
        refusal = await refuse(mesh, task_pb2.Task())
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"task.graph_json"}

    async def test_too_many_labels_are_refused(self, mesh: LocalMesh) -> None:
        refusal = await refuse(mesh, task_of(graphs.picture(), labels={f"k{n}": "" for n in range(33)}))
        assert set(refusal.violations) == {"task.labels"}

    async def test_an_input_of_a_graph_node_that_is_not_there_is_refused(self, mesh: LocalMesh) -> None:
        inputs = {name: task_pb2.InputValue(int64_value=1) for name in ("77.seed", "78.steps", "1.width")}
        refusal = await refuse(mesh, task_of(graphs.picture(), inputs=inputs))
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"task.inputs[77.seed]", "task.inputs[78.steps]"}

    async def test_a_file_of_a_node_is_refused_together_with_what_else_is_wrong(self, mesh: LocalMesh) -> None:
        own = task_pb2.InputValue(string_value="comfymesh/lab/0123456789abcdef-secret.png")
        inputs = {"1.image": own, "77.seed": task_pb2.InputValue(int64_value=1)}
        refusal = await refuse(mesh, task_of(graphs.inverted(), inputs=inputs))
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"task.inputs[1.image]", "task.inputs[77.seed]"}
        assert "asset" in refusal.violations["task.inputs[1.image]"]

    async def test_every_asset_that_is_missing_is_named(self, mesh: LocalMesh) -> None:
        other = "1" * 64
        inputs = {f"{n}.image": task_pb2.InputValue(asset=f"assets/{d}") for n, d in ((1, NOBODY), (2, other))}
        refusal = await refuse(mesh, task_of(graphs.inverted(), inputs=inputs))
        assert refusal.is_ == ("NOT_FOUND", "ASSET_NOT_FOUND")
        assert set(refusal.violations) == {"task.inputs[1.image]", "task.inputs[2.image]"}
        assert NOBODY in refusal.violations["task.inputs[1.image]"]

    async def test_a_reason_that_is_too_long_is_refused(self, mesh: LocalMesh) -> None:
        request = task_service_pb2.CancelTaskRequest(name="tasks/any", reason="x" * 513)
        refusal = await refused(mesh.tasks.CancelTask(request))
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"reason"}


class TestNames:
    @pytest.mark.parametrize("name", ["", "tasks/", "one", "tasks/A", "tasks/a/b", "tasks/a.b", "tasks/*", "tasks/>"])
    async def test_a_malformed_name_is_refused_everywhere(self, mesh: LocalMesh, name: str) -> None:
        for call in (
            mesh.tasks.GetTask(task_service_pb2.GetTaskRequest(name=name)),
            mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=name)),
            mesh.tasks.WatchTask(task_service_pb2.WatchTaskRequest(name=name)).read(),
        ):
            refusal = await refused(call)
            assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
            assert set(refusal.violations) == {"name"}

    async def test_an_unknown_task_is_not_found(self, mesh: LocalMesh) -> None:
        name = f"tasks/nobody-{uuid4().hex}"
        for call in (
            mesh.tasks.GetTask(task_service_pb2.GetTaskRequest(name=name)),
            mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=name)),
            mesh.tasks.WatchTask(task_service_pb2.WatchTaskRequest(name=name)).read(),
        ):
            refusal = await refused(call)
            assert refusal.is_ == ("NOT_FOUND", "TASK_NOT_FOUND")
            assert refusal.metadata == {"task": name}
            resource: Any = refusal.details["ResourceInfo"]
            assert (resource.resource_type, resource.resource_name) == ("comfymesh.v1.Task", name)

    async def test_an_unknown_artifact_is_not_found(self, mesh: LocalMesh) -> None:
        task = await mesh.finished((await mesh.create(graphs.picture())).name)
        for name in (f"{task.name}/artifacts/99", "tasks/nobody/artifacts/0"):
            request = asset_service_pb2.ReadArtifactRequest(name=name)
            refusal = await refused(mesh.assets.ReadArtifact(request).read())
            assert refusal.is_ == ("NOT_FOUND", "ARTIFACT_NOT_FOUND")
            resource: Any = refusal.details["ResourceInfo"]
            assert (resource.resource_type, resource.resource_name) == ("comfymesh.v1.Artifact", name)

    async def test_an_unknown_node_is_not_found(self, mesh: LocalMesh) -> None:
        refusal = await refused(mesh.fleet.GetNode(fleet_service_pb2.GetNodeRequest(name="nodes/nowhere")))
        assert refusal.is_ == ("NOT_FOUND", "NODE_NOT_FOUND")


class TestPages:
    async def token(self, mesh: LocalMesh, **request: Any) -> str:
        label = {"run": uuid4().hex}
        for _ in range(2):
            await mesh.create(graphs.picture(), labels=label)
        page = await mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_size=1, **request))
        assert page.next_page_token
        return str(page.next_page_token)

    async def test_a_token_for_other_arguments_is_refused(self, mesh: LocalMesh) -> None:
        token = await self.token(mesh)
        request = task_service_pb2.ListTasksRequest(page_token=token, states=[State.STATE_SUCCEEDED])
        refusal = await refused(mesh.tasks.ListTasks(request))
        assert refusal.is_ == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
        assert "other arguments" in refusal.violations["page_token"]

    async def test_the_size_of_the_page_may_change(self, mesh: LocalMesh) -> None:
        token = await self.token(mesh)
        assert (await mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_token=token, page_size=50))).tasks

    @pytest.mark.parametrize("token", ["garbage", "☃", "e30=", "W10=", "bnVsbA==", "NQ==", "WyJ4IiwgMSwgMl0="])
    async def test_garbage_is_refused(self, mesh: LocalMesh, token: str) -> None:
        for call in (
            mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_token=token)),
            mesh.fleet.ListNodes(fleet_service_pb2.ListNodesRequest(page_token=token)),
        ):
            refusal = await refused(call)
            assert refusal.is_ == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
            assert set(refusal.violations) == {"page_token"}

    async def test_a_token_that_was_bent_is_refused(self, mesh: LocalMesh) -> None:
        fingerprint = json.loads(base64.urlsafe_b64decode(await self.token(mesh)))[0]
        for place in (["x", "y"], [1.0, 2.0], [None, "a"], [True, "a"], [{}, []]):
            token = base64.urlsafe_b64encode(json.dumps([fingerprint, *place]).encode()).decode()
            refusal = await refused(mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_token=token)))
            assert refusal.is_ == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID"), place

    async def test_a_negative_size_is_refused(self, mesh: LocalMesh) -> None:
        refusal = await refused(mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_size=-1)))
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"page_size"}


Part = asset_service_pb2.UploadAssetRequest
Header = asset_service_pb2.UploadAssetHeader


class TestUploads:
    async def refuse(self, mesh: LocalMesh, *parts: Part) -> Refusal:
        return await refused(mesh.assets.UploadAsset(iter(parts)))

    async def test_an_upload_without_a_header_is_refused(self, mesh: LocalMesh) -> None:
        for parts in ([], [Part(data=b"x")], [Part()]):
            refusal = await self.refuse(mesh, *parts)
            assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
            assert set(refusal.violations) == {"header"}

    async def test_a_header_that_names_no_file_is_refused(self, mesh: LocalMesh) -> None:
        for name in ("../evil", "a/b", "a\\b", "..", "a\0b", 'a"b', "x" * 129, "a\nb"):
            refusal = await self.refuse(mesh, Part(header=Header(filename=name, sha256="short")))
            assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
            assert set(refusal.violations) == {"header.filename", "header.sha256"}

    async def test_bytes_that_do_not_match_the_announced_hash_are_refused(self, mesh: LocalMesh) -> None:
        refusal = await self.refuse(mesh, Part(header=Header(sha256=NOBODY)), Part(data=b"x"))
        assert refusal.is_ == ("INVALID_ARGUMENT", "CONTENT_MISMATCH")
        assert set(refusal.metadata) == {"expected", "received"}

    async def test_a_second_header_is_refused(self, mesh: LocalMesh) -> None:
        refusal = await self.refuse(mesh, Part(header=Header()), Part(header=Header()))
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
