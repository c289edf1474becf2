"""SDK and command line make, change, look at and run workflows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from comfymesh.cli.main import cli
from comfymesh.client import (
    AsyncClient,
    Client,
    Conflict,
    InputKind,
    InvalidRequest,
    NewTask,
    NotFound,
    ViolationSeverity,
    WorkflowInput,
    WorkflowRef,
)
from comfymesh.testkit.apis import GRAPH, LocalApi

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTIONS = ("a.safetensors", "b.safetensors", "c.safetensors")
MODEL = WorkflowInput("model", InputKind.ENUM, ("1.name",), "Which model.", default="a.safetensors", options=OPTIONS)
SEED = WorkflowInput("seed", InputKind.INTEGER, ("1.seed",), minimum=0, maximum=2**64 - 1)
OTHER = {**GRAPH, "1": {"class_type": "Load", "inputs": {"name": "b.safetensors"}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(api: LocalApi) -> str:
    return await api.tenant("users")


async def test_the_sdk_makes_and_changes_workflows(api: LocalApi, key: str) -> None:
    async with AsyncClient(api.target, api_key=key) as client:
        made = await client.workflows.create("sdk", GRAPH, inputs=[MODEL, SEED], labels={"a": "b"})
        assert made.inputs == (MODEL, SEED)
        assert await client.workflows.get("workflows/sdk") == made
        changed = await client.workflows.update("sdk", etag=made.etag, graph=OTHER, display_name="SDK")
        assert (changed.default_version, changed.inputs, changed.display_name) == (2, made.inputs, "SDK")
        assert json.loads((await client.workflows.version("sdk@1")).graph_json) == GRAPH
        assert [each.number async for each in client.workflows.versions("sdk")] == [2, 1]
        assert [each.name async for each in client.workflows.list(labels={"a": "b"})] == ["workflows/sdk"]
        with pytest.raises(Conflict):
            await client.workflows.delete("sdk", etag=made.etag)
        await client.workflows.delete("sdk")
        with pytest.raises(NotFound) as absent:
            await client.workflows.get("sdk")
    assert absent.value.reason == "WORKFLOW_NOT_FOUND"


async def test_tasks_are_made_of_workflows_wherever_a_graph_can_be_given(api: LocalApi, key: str) -> None:
    async with AsyncClient(api.target, api_key=key) as client:
        made = await client.workflows.create("tasks", GRAPH, inputs=[MODEL, SEED])
        task = await client.create(WorkflowRef("tasks"), {"seed": 2**64 - 1}, priority=3)
        assert (task.workflow, task.workflow_version) == (made.name, f"{made.name}/versions/1")
        many = await client.create_many([NewTask(made, {"seed": n}) for n in range(2)])
        assert {getattr(each, "workflow", each) for each in many} == {made.name}
        assert [each.name async for each in client.list(workflow="tasks@1", page_size=1)][-1] == task.name
        with pytest.raises(InvalidRequest) as wrong:
            await client.create(WorkflowRef("tasks"), {"seed": -1, "modell": "x"})
        assert {each.field for each in wrong.value.violations} == {"task.inputs[seed]", "task.inputs[modell]"}


async def test_the_sdk_derives_and_validates(api: LocalApi, key: str) -> None:
    graph = {**GRAPH, "3": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}}
    async with AsyncClient(api.target, api_key=key) as client:
        (image,) = await client.workflows.derive(graph)
        assert (image.name, image.kind, image.targets, image.required) == ("image", InputKind.IMAGE, ("3.image",), True)
        review = await client.workflows.validate_graph(graph, [image, MODEL], {"model": "c.safetensors"})
        assert [(each.severity, each.type) for each in review.violations] == [
            (ViolationSeverity.ERROR, "value_not_in_list"),
            (ViolationSeverity.WARNING, "unused_graph_node"),
        ]
        assert [each.workflow_input for each in review.errors] == ["model"]
        await client.workflows.create("derived", graph)
        fine = await client.workflows.validate("derived", {"image": b"picture"})
        assert (fine.errors, fine.able_instance_count) == ((), 1)


async def test_inputs_that_no_message_can_carry_are_told_before_anything_is_sent() -> None:
    wrong = [WorkflowInput("a", InputKind.INTEGER, ("1.seed",), maximum=2**64), WorkflowInput("b", MODEL.kind, ("1",))]
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(InvalidRequest) as told:
            await client.workflows.create("x", GRAPH, inputs=wrong)
    assert [each.field for each in told.value.violations] == ["workflow.inputs[0]", "workflow.inputs[1]"]


async def test_the_client_without_asyncio_does_the_same(api: LocalApi, key: str) -> None:
    def work() -> None:
        with Client(api.target, api_key=key) as client:
            made = client.workflows.create("plain", GRAPH, inputs=[MODEL])
            assert client.workflows.get("plain") == made
            assert client.workflows.update("plain", description="x").description == "x"
            assert "workflows/plain" in [each.name for each in client.workflows.list(text="plain")]
            assert [each.number for each in client.workflows.versions("plain")] == [1]
            assert client.workflows.version("plain@1").inputs == made.inputs
            assert client.workflows.derive(GRAPH) == ()
            assert client.workflows.validate("plain").errors == ()
            assert client.workflows.validate_graph(GRAPH).errors == ()
            assert client.create(WorkflowRef("plain")).workflow == made.name
            client.workflows.delete("plain")

    await asyncio.to_thread(work)


async def command(api: LocalApi, key: str, *arguments: str, text: str | None = None) -> Result:
    """The command line in this process; the api answers meanwhile."""
    environment = {"COMFYMESH_API_KEY": key, "COMFYMESH_TARGET": api.target}
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env=environment, input=text)


def told(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_the_command_line_knows_all_of_it(
    api: LocalApi, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = [{"name": "model", "kind": "enum", "targets": ["1.name"], "options": list(OPTIONS)}]
    for name, content in {"graph.json": GRAPH, "other.json": OTHER, "inputs.json": inputs}.items():
        (tmp_path / name).write_text(json.dumps(content))

    async def run(*arguments: str, code: int = 0, text: str | None = None) -> Result:
        result = await command(api, key, *arguments, text=text)
        assert result.exit_code == code, result.output
        return result

    made = await run("workflows", "create", "cli", "graph.json", "--inputs", "inputs.json", "--name", "CLI", "--json")
    assert (told(made)[0]["name"], told(made)[0]["inputs"][0]["kind"]) == ("workflows/cli", "ENUM")
    assert "required" not in (await run("workflows", "get", "cli")).stdout
    assert json.loads((await run("workflows", "get", "cli", "--graph")).stdout) == GRAPH
    updated = await run("workflows", "update", "cli", "--graph", "-", "--json", text=json.dumps(OTHER))
    assert told(updated)[0]["default_version"] == 2
    assert [each["number"] for each in told(await run("workflows", "versions", "cli", "--json"))] == [2, 1]
    back = await run("workflows", "update", "cli", "--default-version", "1", "--json")
    assert told(back)[0]["default_version"] == 1
    assert "CLI" in (await run("workflows", "list", "--text", "cli")).stdout
    (task,) = told(await run("submit", "cli@2", "--input", "model=a.safetensors", "--json"))
    assert task["workflow_version"] == "workflows/cli/versions/2"
    assert told(await run("list", "--workflow", "cli", "--json"))[0]["name"] == task["name"]
    assert "1 of 1 instances" in (await run("workflows", "validate", "cli")).stdout
    wrong = await run("workflows", "validate", "cli", "--input", "model=c.safetensors", code=2)
    assert "error input model 1.name (Load)" in wrong.stdout
    await run("workflows", "delete", "cli")
    assert "WORKFLOW_NOT_FOUND" in (await run("run", "cli", code=2)).stderr


async def test_what_is_derived_can_be_stored_from_its_file(api: LocalApi, key: str, tmp_path: Path) -> None:
    graph, inputs = tmp_path / "graph.json", tmp_path / "inputs.json"
    odd = {"class_type": "Odd", "inputs": {"seed": 2**64 - 1, "text": "two\nlines", "on": False, "half": 0.5}}
    graph.write_text(json.dumps({**GRAPH, "3": odd}))
    derived = await command(api, key, "workflows", "derive", str(graph))
    told_inputs = json.loads(derived.stdout)
    assert [each["name"] for each in told_inputs] == ["seed", "text", "on", "half"]
    inputs.write_text(json.dumps([{**each, "minimum": 0} if each["name"] == "seed" else each for each in told_inputs]))
    arguments = ("workflows", "create", "from-file", str(graph), "--inputs", str(inputs))
    made = await command(api, key, *arguments)
    assert "18446744073709551615" in made.stdout  # the graph's seed is shown as the default
    found = told(await command(api, key, "workflows", "get", "from-file", "--json"))[0]
    assert found["inputs"][0]["minimum"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "typed", "--set", "1.seed=1"), "write --input NAME=VALUE"),
        (("run", "typed", "--input", "seed=many"), "seed must be an integer"),
        (("run", "typed", "--input", "seed"), "lacks a name and '='"),
        (("run", "typed", "--input", "seed=1", "--input", "seed=2"), "given twice"),
        (("run", "no-such.json"), "FILE_UNREADABLE"),
        (("workflows", "update", "typed"), "Say what to change"),
        (("workflows", "delete", "typed", "other", "--etag", "1"), "name one"),
        (("workflows", "validate", "typed", "--inputs", "x.json"), "has its own"),
        (("workflows", "delete", "typed@1", "--etag", "1"), "has no etag"),
        (("workflows", "delete", "typed@1"), "WORKFLOW_VERSION_IN_USE"),
    ],
)
async def test_wrong_usage_is_told_and_ends_with_2(
    api: LocalApi, key: str, arguments: tuple[str, ...], words: str
) -> None:
    async with AsyncClient(api.target, api_key=key) as client:
        await client.workflows.create("typed", GRAPH, inputs=[SEED])
    result = await command(api, key, *arguments)
    assert (result.exit_code, words in result.output) == (2, True), result.output


async def test_the_canvas_is_refused_with_how_to_export(api: LocalApi, key: str, tmp_path: Path) -> None:
    canvas = tmp_path / "canvas.json"
    canvas.write_text(json.dumps({"nodes": [], "links": []}))
    result = await command(api, key, "workflows", "create", "canvas", str(canvas))
    assert result.exit_code == 2
    assert "Workflow > Export (API)" in " ".join(result.stderr.split())
