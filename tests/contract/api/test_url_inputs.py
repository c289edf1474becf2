"""Inputs by URL, as far as the api looks at them: form, hosts, what is stored and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfymesh.tasks.record import Key
from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, Refused, local_api
from comfymesh.v1 import task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "https://cdn.example/photos/cat.png?signature=secret"
GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
    "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
}


def create(**urls: str) -> Any:
    """A request; `urls` by input of graph node 1, or by place where it is written `n1_image`."""
    inputs = {f"1.{name}": task_pb2.InputValue(url=url) for name, url in urls.items()}
    return task_service_pb2.CreateTaskRequest(task=task_pb2.Task(graph_json=json.dumps(GRAPH), inputs=inputs))


async def refused(api: LocalApi, secret: str, request: Any) -> Refused:
    with pytest.raises(Refused) as told:
        await api.call("TaskService/CreateTask", request, secret)
    return told.value


def fields(told: Refused) -> list[str]:
    return sorted(violation.field for violation in told.details["BadRequest"].field_violations)


async def test_a_url_is_stored_with_the_kind_that_its_input_takes_and_shown_to_nobody(api: LocalApi) -> None:
    secret = await api.tenant("fetching", allowance={"url_hosts": ["*.example"]})
    task = (await api.call("TaskService/CreateTask", create(image=URL), secret)).task
    assert "secret" not in str(task)
    stored = await api.log.get(Key("fetching", task.name.removeprefix("tasks/")))
    assert stored is not None
    spec = await api.log.spec(stored.record)
    assert [(u.graph_node, u.input, u.url, u.kind) for u in spec.urls] == [("1", "image", URL, "image")]
    assert list(spec.url_hosts) == ["*.example"]


async def test_everything_that_is_wrong_with_urls_is_told_at_once(api: LocalApi) -> None:
    secret = await api.tenant("wrong")
    wrong = {"a": "ftp://x.example/", "b": "https://u:p@x.example/", "c": "http://", "d": f"https://x/{'x' * 3000}"}
    told = await refused(api, secret, create(**wrong))
    assert (told.code, told.reason) == ("INVALID_ARGUMENT", "INPUT_INVALID")
    assert fields(told) == [f"task.inputs[1.{name}]" for name in "abcd"]


async def test_there_are_not_any_number_of_them(api: LocalApi) -> None:
    secret = await api.tenant("many")
    told = await refused(api, secret, create(**{f"i{number}": URL for number in range(33)}))
    assert fields(told) == ["task.inputs"]


async def test_a_tenant_names_only_hosts_that_it_may(api: LocalApi) -> None:
    secret = await api.tenant("bound", allowance={"url_hosts": ["good.example"]})
    told = await refused(api, secret, create(image=URL))
    assert (told.code, told.reason) == ("PERMISSION_DENIED", "GRAPH_NOT_ALLOWED")
    assert fields(told) == ["task.inputs[1.image]"]
    assert "secret" not in told.message


@pytest.mark.parametrize(("hosts", "told"), [("", "not taken here"), ("good.example", "from cdn.example")])
async def test_an_operator_may_take_none_or_few(tmp_path: Path, hosts: str, told: str) -> None:
    async with local_api(tmp_path, input_url_hosts=tuple(filter(None, [hosts]))) as api:
        refusal = await refused(api, await api.tenant("any"), create(image=URL))
    assert (refusal.code, refusal.reason, fields(refusal)) == (
        "INVALID_ARGUMENT",
        "INPUT_INVALID",
        ["task.inputs[1.image]"],
    )
    assert told in refusal.message


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "2130706433", "0x7f.1", "017700000001", "10.1"],
)
async def test_an_address_inside_is_refused_at_once(api: LocalApi, host: str) -> None:
    told = await refused(api, BOOTSTRAP, create(image=f"http://{host}/x.png"))
    assert (told.code, told.reason, fields(told)) == ("INVALID_ARGUMENT", "INPUT_INVALID", ["task.inputs[1.image]"])
    assert "is not a public address" in told.message


async def test_unless_the_operator_allows_it(tmp_path: Path) -> None:
    async with local_api(tmp_path, egress_allow=("10.0.0.0/8",)) as api:
        await api.call("TaskService/CreateTask", create(image="http://10.1.2.3/x.png"), await api.tenant("any"))


@pytest.mark.parametrize("path", ["/etc/passwd", "../../secret.png", "/etc/passwd [input]"])
async def test_a_file_of_the_node_is_no_input(api: LocalApi, path: str) -> None:
    request = create()
    request.task.inputs["1.image"].string_value = path
    told = await refused(api, await api.tenant(f"t{len(path)}"), request)
    assert (told.code, told.reason) == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
