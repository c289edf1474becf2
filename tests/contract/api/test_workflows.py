"""Workflows over the wire: stored, versioned, found, run, and looked at."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest
import pytest_asyncio

from comfymesh.bus import subjects
from comfymesh.bus.port import BusUnavailableError
from comfymesh.testkit.apis import LocalApi, Refused, find, request_type
from comfymesh.v1.workflow_pb2 import Workflow, WorkflowInput

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRAPH = {
    "1": {"class_type": "Load", "inputs": {"name": "a.safetensors"}},
    "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
}
UI_FORMAT = json.dumps({"nodes": [], "links": [], "version": 0.4})
MODEL = {"name": "model", "kind": "KIND_ENUM", "options": ["a.safetensors", "b.safetensors", "c.safetensors"]}


def text(model: str = "a.safetensors") -> str:
    return json.dumps({**GRAPH, "1": {"class_type": "Load", "inputs": {"name": model}}})


def model_input(**more: Any) -> dict[str, Any]:
    return {**MODEL, "targets": [{"graph_node": "1", "input": "name"}], **more}


def workflow(**more: Any) -> dict[str, Any]:
    return {"graph_json": text(), "inputs": [model_input()], **more}


class Caller:
    """Calls WorkflowService and TaskService with fields."""

    def __init__(self, api: LocalApi, secret: str) -> None:
        self.api = api
        self.secret = secret

    async def __call__(self, method: str, **fields: Any) -> Any:
        service = "TaskService" if "Task" in method else "WorkflowService"
        request = request_type(find(f"{service}/{method}"))(**fields)
        return await self.api.call(f"{service}/{method}", request, self.secret)

    async def create(self, workflow_id: str, **more: Any) -> Workflow:
        made: Workflow = (await self("CreateWorkflow", workflow_id=workflow_id, workflow=workflow(**more))).workflow
        return made

    async def update(self, name: str, etag: str = "", **fields: Any) -> Workflow:
        wanted = {"name": name, "etag": etag, **fields}
        made: Workflow = (await self("UpdateWorkflow", workflow=wanted, update_mask={"paths": list(fields)})).workflow
        return made

    async def run(self, name: str, request_id: str = "", **inputs: Any) -> Any:
        task = {"workflow": name, "inputs": {key: {"string_value": value} for key, value in inputs.items()}}
        return (await self("CreateTask", task=task, request_id=request_id)).task

    async def refused(self, method: str, **fields: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await self(method, **fields)
        return caught.value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def call(api: LocalApi) -> Caller:
    return Caller(api, await api.tenant("painters"))


def fields(refused: Refused) -> Mapping[str, str]:
    return {each.field: each.description for each in refused.details["BadRequest"].field_violations}


async def test_a_workflow_is_there_as_it_was_made(call: Caller) -> None:
    made = await call.create("first", display_name="First", description="A picture.", labels={"team": "a"})
    found = (await call("GetWorkflow", name="workflows/first")).workflow
    assert found == made
    assert (found.name, found.default_version, found.latest_version) == ("workflows/first", 1, 1)
    assert found.graph_json == text()
    version = (await call("GetWorkflowVersion", name="workflows/first/versions/1")).version
    assert (version.number, version.graph_json, version.inputs) == (1, text(), found.inputs)


async def test_creating_again_answers_what_is_there_and_other_content_is_refused(call: Caller) -> None:
    made = await call.create("again")
    assert await call.create("again") == made
    refused = await call.refused("CreateWorkflow", workflow_id="again", workflow=workflow(display_name="other"))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "WORKFLOW_ALREADY_EXISTS")


async def test_only_checking_stores_nothing(call: Caller) -> None:
    answer = await call("CreateWorkflow", workflow_id="unmade", workflow=workflow(), validate_only=True)
    assert answer.workflow.default_version == 1
    assert (await call.refused("GetWorkflow", name="workflows/unmade")).reason == "WORKFLOW_NOT_FOUND"


async def test_all_that_is_wrong_is_told_at_once(call: Caller) -> None:
    wrong = {
        **workflow(labels={"A": "b"}, display_name="x" * 129),
        "inputs": [
            model_input(name="Model"),
            {"name": "seed", "kind": "KIND_INTEGER", "targets": [{"graph_node": "3", "input": "seed"}]},
            {"name": "picture", "kind": "KIND_IMAGE", "targets": [{"graph_node": "2", "input": "images"}]},
        ],
    }
    refused = await call.refused("CreateWorkflow", workflow_id="Wrong", workflow=wrong)
    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INPUT_INVALID")
    assert set(fields(refused)) == {
        "workflow_id",
        "workflow.display_name",
        "workflow.labels[A]",
        "workflow.inputs[0].name",
        "workflow.inputs[1].targets[0]",
        "workflow.inputs[2].targets[0]",
    }
    assert "fed by a link" in fields(refused)["workflow.inputs[2].targets[0]"]


@pytest.mark.parametrize("method", ["CreateWorkflow", "DeriveInputs", "ValidateWorkflow"])
async def test_the_canvas_is_refused_with_how_to_export_the_graph(call: Caller, method: str) -> None:
    requests: dict[str, dict[str, Any]] = {
        "CreateWorkflow": {"workflow_id": "canvas", "workflow": {"graph_json": UI_FORMAT}},
        "DeriveInputs": {"graph_json": UI_FORMAT},
        "ValidateWorkflow": {"workflow": {"graph_json": UI_FORMAT}},
    }
    refused = await call.refused(method, **requests[method])
    assert (refused.reason, refused.metadata["problem"]) == ("GRAPH_UNPARSABLE", "UI_FORMAT")
    assert "Workflow > Export (API)" in refused.message


async def test_versions_never_change(call: Caller) -> None:
    made = await call.create("versions")
    changed = await call.update(made.name, graph_json=text("b.safetensors"))
    assert (changed.default_version, changed.latest_version) == (2, 2)
    assert changed.inputs == made.inputs
    first = (await call("GetWorkflowVersion", name=f"{made.name}/versions/1")).version
    assert first.graph_json == text()
    named = await call.update(made.name, display_name="named")
    assert (named.latest_version, named.graph_json) == (2, text("b.safetensors"))
    back = await call.update(made.name, default_version=1)
    assert (back.default_version, back.latest_version, back.graph_json) == (1, 2, text())
    kept = await call.update(made.name, graph_json=text("c.safetensors"), default_version=1)
    assert (kept.default_version, kept.latest_version) == (1, 3)
    listed = (await call("ListWorkflowVersions", parent=made.name, page_size=2)).versions
    assert [version.number for version in listed] == [3, 2]
    token = (await call("ListWorkflowVersions", parent=made.name, page_size=2)).next_page_token
    rest = await call("ListWorkflowVersions", parent=made.name, page_size=2, page_token=token)
    assert ([version.number for version in rest.versions], rest.next_page_token) == ([1], "")
    absent = await call.refused(
        "UpdateWorkflow", workflow={"name": made.name, "default_version": 9}, update_mask={"paths": ["default_version"]}
    )
    assert fields(absent).keys() == {"workflow.default_version"}


async def test_updating_again_makes_no_other_version(call: Caller) -> None:
    made = await call.create("twice")
    change = {"graph_json": text("b.safetensors"), "default_version": 1}
    first = await call.update(made.name, **change)
    assert await call.update(made.name, **change) == first
    # The answer to the first try was lost, and the etag with which it was made is stale by now.
    assert await call.update(made.name, made.etag, **change) == first


async def test_who_comes_second_with_an_etag_is_told(call: Caller) -> None:
    made = await call.create("contested")
    await call.update(made.name, made.etag, display_name="first")
    refused = await call.refused(
        "UpdateWorkflow",
        workflow={"name": made.name, "etag": made.etag, "display_name": "second"},
        update_mask={"paths": ["display_name"]},
    )
    assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert (await call.refused("DeleteWorkflow", name=made.name, etag=made.etag)).reason == "ETAG_MISMATCH"


async def test_updates_at_once_all_count(call: Caller) -> None:
    made = await call.create("busy")
    letters = "abcdefghijklmnopqrstuvwxyz"
    await asyncio.gather(*(call.update(made.name, graph_json=text(f"{letter}.safetensors")) for letter in letters))
    numbers = range(1, (await call("GetWorkflow", name=made.name)).workflow.latest_version + 1)
    versions = [(await call("GetWorkflowVersion", name=f"{made.name}/versions/{n}")).version for n in numbers]
    assert {version.graph_json for version in versions} == {text(f"{letter}.safetensors") for letter in letters}
    # None was stored in vain: what no head names would count for nobody.
    assert len(call.api.bus.stored(subjects.workflow_content("painters", "busy", "*"))) == len(letters)


@pytest.mark.parametrize("paths", [[], ["name"], ["default_version", "etag"]])
async def test_a_mask_names_what_can_be_changed(call: Caller, paths: list[str]) -> None:
    await call.create("masked")
    refused = await call.refused("UpdateWorkflow", workflow={"name": "workflows/masked"}, update_mask={"paths": paths})
    assert all(field.startswith("update_mask") for field in fields(refused))


async def test_lists_are_by_name_and_their_pages_stable(api: LocalApi) -> None:
    call = Caller(api, await api.tenant("listers"))
    for name in ("delta", "alpha", "charlie", "bravo"):
        await call.create(name, labels={"odd": str(name in {"alpha", "charlie"})}, description=f"It is {name.upper()}")
    first = await call("ListWorkflows", page_size=2)
    assert [each.name for each in first.workflows] == ["workflows/alpha", "workflows/bravo"]
    assert not any(each.graph_json or each.inputs for each in first.workflows)
    await call.create("aaron")
    await call.update("workflows/delta", display_name="Delta")
    rest = await call("ListWorkflows", page_size=2, page_token=first.next_page_token)
    assert [each.name for each in rest.workflows] == ["workflows/charlie", "workflows/delta"]
    assert rest.next_page_token == ""
    odd = await call("ListWorkflows", labels={"odd": "True"})
    assert [each.name for each in odd.workflows] == ["workflows/alpha", "workflows/charlie"]
    told = await call("ListWorkflows", text="it is br")
    assert [each.name for each in told.workflows] == ["workflows/bravo"]
    wrong = await call.refused("ListWorkflows", page_size=2, page_token=first.next_page_token, text="x")
    assert wrong.reason == "PAGE_TOKEN_INVALID"


async def test_a_task_runs_the_version_that_is_the_default(call: Caller) -> None:
    made = await call.create("runnable")
    task = await call.run(made.name)
    assert (task.workflow, task.workflow_version) == (made.name, f"{made.name}/versions/1")
    stored = await call("GetTask", name=task.name)
    assert stored.task.workflow_version == f"{made.name}/versions/1"
    await call.update(made.name, graph_json=text("b.safetensors"))
    newer = await call.run(made.name)
    older = await call.run(f"{made.name}/versions/1")
    assert newer.workflow_version.endswith("/2")
    assert newer.graph_digest != task.graph_digest
    assert (older.workflow_version, older.graph_digest) == (task.workflow_version, task.graph_digest)
    given = await call.run(made.name, model="a.safetensors")
    assert given.graph_digest == task.graph_digest
    listed = await call("ListTasks", workflow=made.name)
    assert {each.name for each in listed.tasks} == {task.name, newer.name, older.name, given.name}
    chosen = [f"{made.name}/versions/1", f"{made.name}/versions/2", made.name, "workflows/no-such"]
    watched = [await call("WatchTasks", workflow=name, include_existing=True) for name in chosen]
    counts = [sum(message.HasField("task") for message in messages) for messages in watched]
    assert counts == [len((await call("ListTasks", workflow=name)).tasks) for name in chosen]
    assert (await call.refused("WatchTasks", workflow="nonsense")).reason == "INPUT_INVALID"
    listed = await call("ListTasks", workflow=f"{made.name}/versions/1")
    assert {each.name for each in listed.tasks} == {task.name, older.name}


async def test_a_repeated_creation_answers_the_task_of_the_older_version(call: Caller) -> None:
    made, request_id = await call.create("repeated"), str(uuid4())
    task = await call.run(made.name, request_id)
    await call.update(made.name, graph_json=text("b.safetensors"))
    assert await call.run(made.name, request_id) == task
    await call("DeleteWorkflow", name=made.name)
    assert await call.run(made.name, request_id) == task


async def test_what_a_task_gives_is_held_against_the_inputs(call: Caller) -> None:
    seed = {"name": "seed", "kind": "KIND_INTEGER", "targets": [{"graph_node": "1", "input": "seed"}], "required": True}
    limits = {"minimum": {"int64_value": 0}, "maximum": {"uint64_value": 2**64 - 1}}
    await call.create("strict", inputs=[model_input(), {**seed, **limits}])
    task: dict[str, Any] = {"workflow": "workflows/strict"}
    given = {"model": {"string_value": "d.safetensors"}, "modle": {"bool_value": True}}
    refused = await call.refused("CreateTask", task={**task, "inputs": given})
    assert refused.reason == "INPUT_INVALID"
    assert set(fields(refused)) == {"task.inputs[model]", "task.inputs[modle]", "task.inputs[seed]"}
    assert "did you mean model" in fields(refused)["task.inputs[modle]"]
    below = await call.refused("CreateTask", task={**task, "inputs": {"seed": {"int64_value": -1}}})
    assert "smaller than 0" in fields(below)["task.inputs[seed]"]
    largest = {"seed": {"uint64_value": 2**64 - 1}}
    assert (await call("CreateTask", task={**task, "inputs": largest})).task.workflow_version


async def test_what_the_fleet_lacks_is_told_by_the_inputs_name(call: Caller) -> None:
    await call.create("lacking")
    refused = await call.refused(
        "CreateTask", task={"workflow": "workflows/lacking", "inputs": {"model": {"string_value": "c.safetensors"}}}
    )
    assert refused.reason == "INVALID_WORKFLOW"
    assert "value_not_in_list" in fields(refused)["task.inputs[model]"]
    assert "task.inputs[model]" in refused.message


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"workflow": "workflows/absent"}, "WORKFLOW_NOT_FOUND"),
        ({"workflow": "workflows/first/versions/7"}, "WORKFLOW_NOT_FOUND"),
        ({"workflow": "workflows/first/versions/0"}, "INPUT_INVALID"),
        ({"workflow": "first"}, "INPUT_INVALID"),
        ({"workflow": "workflows/first", "graph_json": text()}, "INPUT_INVALID"),
        ({}, "INPUT_INVALID"),
    ],
)
async def test_a_task_names_one_workflow_that_is_there(call: Caller, task: dict[str, Any], reason: str) -> None:
    await call.create("first", display_name="First", description="A picture.", labels={"team": "a"})
    assert (await call.refused("CreateTask", task=task)).reason == reason


async def test_a_deleted_workflow_whose_tasks_are_kept_can_be_read_and_not_run(call: Caller) -> None:
    made = await call.create("used")
    await call.run(made.name)
    for _ in range(2):  # again is fine
        await call("DeleteWorkflow", name=made.name)
    assert (await call("GetWorkflow", name=made.name)).workflow.HasField("delete_time")
    assert (await call("GetWorkflowVersion", name=f"{made.name}/versions/1")).version.graph_json == text()
    assert (await call.refused("CreateTask", task={"workflow": made.name})).reason == "WORKFLOW_NOT_FOUND"
    assert made.name not in str(await call("ListWorkflows", page_size=1000))
    assert made.name in str(await call("ListWorkflows", page_size=1000, show_deleted=True))
    refused = await call.refused("UpdateWorkflow", workflow={"name": made.name}, update_mask={"paths": ["labels"]})
    assert refused.reason == "WORKFLOW_NOT_FOUND"
    assert (await call.create("used")).latest_version == 2


async def test_a_deleted_workflow_without_tasks_is_gone_and_its_numbers_are_not(call: Caller) -> None:
    made = await call.create("unused")
    await call.update(made.name, graph_json=text("b.safetensors"))
    await call("DeleteWorkflow", name=made.name)
    await call("DeleteWorkflow", name=made.name)
    assert (await call.refused("GetWorkflow", name=made.name)).reason == "WORKFLOW_NOT_FOUND"
    assert call.api.bus.stored(subjects.workflow_content("painters", "unused", "*")) == []
    assert (await call.create("unused")).default_version == 3
    assert (await call.refused("GetWorkflowVersion", name=f"{made.name}/versions/1")).reason == "WORKFLOW_NOT_FOUND"


async def test_a_version_that_nothing_needs_can_be_deleted_and_no_other(call: Caller) -> None:
    made = await call.create("thinned")
    names = [f"{made.name}/versions/{number}" for number in range(1, 5)]
    await call.run(names[0])
    for file in ("b.safetensors", "a.safetensors", "b.safetensors"):
        await call.update(made.name, graph_json=text(file))
    for needed in (names[0], names[3]):  # used; the default
        refused = await call.refused("DeleteWorkflowVersion", name=needed)
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "WORKFLOW_VERSION_IN_USE")
        assert refused.metadata == {"version": needed}
    for _ in range(2):  # again is fine
        await call("DeleteWorkflowVersion", name=names[1])
    assert (await call.refused("GetWorkflowVersion", name=names[1])).reason == "WORKFLOW_NOT_FOUND"
    # What it was is still there, since another version is the same.
    assert (await call("GetWorkflowVersion", name=names[3])).version.graph_json == text("b.safetensors")
    await call("DeleteWorkflowVersion", name=names[2])
    left = (await call("ListWorkflowVersions", parent=made.name)).versions
    assert [version.number for version in left] == [4, 1]
    assert (await call.refused("DeleteWorkflowVersion", name=f"{made.name}/versions/5")).reason == "WORKFLOW_NOT_FOUND"
    await call.update(made.name, graph_json=text())
    assert (await call("GetWorkflow", name=made.name)).workflow.latest_version == 5


async def test_what_a_deleted_version_was_goes_with_the_last_that_is_the_same(call: Caller) -> None:
    made = await call.create("lone")
    await call.update(made.name, graph_json=text("b.safetensors"))
    stored = subjects.workflow_content("painters", "lone", "*")
    assert len(call.api.bus.stored(stored)) == 2
    await call("DeleteWorkflowVersion", name=f"{made.name}/versions/1")
    assert len(call.api.bus.stored(stored)) == 1


async def test_a_delete_that_broke_off_is_finished_by_the_next(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await call.create("broken-off")
    with monkeypatch.context() as patch:
        patch.setattr(call.api.bus, "purge", AsyncMock(side_effect=BusUnavailableError("no answer")))
        assert (await call.refused("DeleteWorkflow", name=made.name)).reason == "BUS_UNAVAILABLE"
    await call("DeleteWorkflow", name=made.name)
    assert call.api.bus.stored(subjects.workflow_content("painters", "broken-off", "*")) == []


async def test_inputs_are_derived_from_what_the_classes_say(call: Caller) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}},
        "2": {"class_type": "Nobody", "inputs": {"strength": 0.5, "seed": 2**64 - 1, "on": True, "name": "x.ckpt"}},
        "3": {"class_type": "Save", "inputs": {"images": ["1", 0], "filename_prefix": "mine"}},
    }
    derived = (await call("DeriveInputs", graph_json=json.dumps(graph))).inputs
    kinds = {each.name: WorkflowInput.Kind.Name(each.kind).removeprefix("KIND_") for each in derived}
    assert kinds == {"image": "IMAGE", "strength": "FLOAT", "seed": "INTEGER", "on": "BOOL"}
    by_name = {each.name: each for each in derived}
    assert by_name["image"].required
    # What the graph holds is the default, also when there is a better one.
    assert not any(each.HasField("default_value") for each in derived)
    await call("CreateWorkflow", workflow_id="derived", workflow={"graph_json": json.dumps(graph), "inputs": derived})


async def test_everything_that_is_wrong_is_named_by_graph_node_and_input(call: Caller) -> None:
    graph = {
        "1": {"class_type": "Load", "inputs": {"name": "a.safetensor"}},
        "2": {"class_type": "Save", "inputs": {"images": ["1", 0], "imagse": 1}},
        "3": {"class_type": "Load", "inputs": {"name": "b.safetensors"}},
        "4": {"class_type": "Save", "inputs": {"images": ["3", 0]}},
        "5": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
    }
    answer = await call("ValidateWorkflow", workflow={"graph_json": json.dumps(graph), "inputs": [model_input()]})
    found = {(each.type, each.graph_node, each.input): each for each in answer.violations}
    assert set(found) == {
        ("value_not_in_list", "1", "name"),
        ("unknown_input", "2", "imagse"),
        ("unused_graph_node", "5", ""),
    }
    missing = found["value_not_in_list", "1", "name"]
    assert (missing.severity, missing.nearest[0], list(missing.dropped_outputs)) == (1, "a.safetensors", ["2"])
    assert (list(answer.runnable_outputs), list(answer.dropped_outputs)) == (["4"], ["2"])
    assert (answer.able_instance_count, answer.instance_count) == (0, 1)
    absent = {**graph, "5": {"class_type": "LoadImag", "inputs": {}}}
    answer = await call("ValidateWorkflow", workflow={"graph_json": json.dumps(absent)})
    (lacks,) = [each for each in answer.violations if each.type == "missing_node_type"]
    assert (lacks.graph_node, lacks.nearest[0], lacks.offering_instance_count) == ("5", "LoadImage", 0)
    assert list(answer.dropped_outputs) == ["2", "4"]


async def test_what_would_be_given_is_looked_at_too(call: Caller) -> None:
    picture = {"name": "picture", "kind": "KIND_IMAGE", "targets": [{"graph_node": "3", "input": "image"}]}
    graph = {
        **GRAPH,
        "3": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "4": {"class_type": "Save", "inputs": {"images": ["3", 0]}},
    }
    await call.create("looked-at", graph_json=json.dumps(graph), inputs=[model_input(), picture])
    given = {
        "model": {"string_value": "c.safetensors"},
        "picture": {"asset": f"assets/{'0' * 64}"},
        "more": {"bool_value": True},
    }
    answer = await call("ValidateWorkflow", name="workflows/looked-at", inputs=given)
    assert {(each.type, each.workflow_input) for each in answer.violations} == {
        ("input_invalid", "more"),
        ("input_invalid", "picture"),
        ("value_not_in_list", "model"),
    }
    fine = await call("ValidateWorkflow", name="workflows/looked-at/versions/1")
    assert (list(fine.violations), fine.able_instance_count) == ([], 1)


async def test_what_a_tenant_may_not_use_is_named(api: LocalApi) -> None:
    call = Caller(api, await api.tenant("narrow", allowance={"models": ["b*"], "node_classes": ["Load", "Save"]}))
    answer = await call("ValidateWorkflow", workflow=workflow())
    (only,) = answer.violations
    assert (only.type, only.graph_node, only.input, only.workflow_input) == ("not_allowed", "1", "name", "model")


async def test_a_tenant_has_as_many_workflows_as_it_may(api: LocalApi) -> None:
    call = Caller(api, await api.tenant("few", limits={"max_workflows": 1}))
    made = await call.create("one")
    refused = await call.refused("CreateWorkflow", workflow_id="two", workflow=workflow())
    assert (refused.code, refused.reason, refused.metadata["quota"]) == (
        "RESOURCE_EXHAUSTED",
        "QUOTA_EXCEEDED",
        "max_workflows",
    )
    await call("DeleteWorkflow", name=made.name)
    await call.create("two")


async def test_versions_count_as_stored_bytes(api: LocalApi) -> None:
    call = Caller(api, await api.tenant("small", limits={"max_stored_bytes": 600}))
    made = await call.create("one")
    noise = json.dumps({**GRAPH, "3": {"class_type": "Load", "inputs": {"name": secrets.token_hex(600)}}})
    refused = await call.refused(
        "UpdateWorkflow",
        workflow={"name": made.name, "graph_json": noise},
        update_mask={"paths": ["graph_json"]},
    )
    assert refused.metadata["quota"] == "max_stored_bytes"


async def test_changes_are_audited_and_looks_are_not(api: LocalApi) -> None:
    call = Caller(api, await api.tenant("audited"))
    made = await call.create("noted")
    await call("GetWorkflow", name=made.name)
    await call("ValidateWorkflow", name=made.name)
    await call("DeleteWorkflow", name=made.name)
    events = [message.data for message in api.bus.stored(subjects.audit("audited"))]
    assert [b"/CreateWorkflow" in event or b"/DeleteWorkflow" in event for event in events] == [True, True]


async def test_a_graph_that_holds_files_is_too_large(call: Caller) -> None:
    node = {"class_type": "Load", "inputs": {"name": "a.safetensors", "file": secrets.token_hex(1_500_000)}}
    large = {"graph_json": json.dumps({**GRAPH, "1": node})}
    assert (await call.refused("CreateWorkflow", workflow_id="large", workflow=large)).reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize(
    "value",
    [{"asset": "assets/../../x"}, {"url": "file:///etc/passwd"}, {"url": ""}, {"url": "http://u:p@h/"}, {}],
)
async def test_a_default_is_held_against_what_tasks_may_give(call: Caller, value: dict[str, str]) -> None:
    picture = {
        "name": "picture",
        "kind": "KIND_IMAGE",
        "targets": [{"graph_node": "1", "input": "name"}],
        "default_value": value,
    }
    refused = await call.refused("CreateWorkflow", workflow_id="bad", workflow=workflow(inputs=[picture]))
    assert fields(refused).keys() == {"workflow.inputs[0].default_value"}
    answer = await call("ValidateWorkflow", workflow=workflow(inputs=[picture]))
    assert "picture" in [each.workflow_input for each in answer.violations]


async def test_one_url_that_goes_to_many_places_counts_as_many(call: Caller) -> None:
    nodes = {str(n): {"class_type": "LoadImage", "inputs": {"image": "x.png"}} for n in range(10, 74)}
    targets = [{"graph_node": node, "input": "image"} for node in nodes]
    picture = {"name": "picture", "kind": "KIND_IMAGE", "targets": targets, "required": True}
    await call.create("many", graph_json=json.dumps({**GRAPH, **nodes}), inputs=[picture])
    given = {"picture": {"url": "https://pictures.example/a.png"}}
    refused = await call.refused("CreateTask", task={"workflow": "workflows/many", "inputs": given})
    assert "has 64 URLs" in fields(refused)["task.inputs"]
    answer = await call("ValidateWorkflow", name="workflows/many", inputs=given)
    assert any("has 64 URLs" in each.message for each in answer.violations)
