"""The fleet, its policy, and what is kept of a task, by the wire: the happy path, and every reason for a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.tasks.record import Key
from comfymesh.testkit.apis import CLASSES, GRAPH, NODE, LocalApi, Refused, find, request_type
from comfymesh.testkit.tasks import NOW, assigned, failed
from comfymesh.v1 import dead_letter_pb2, node_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = f"nodes/{NODE}"
FILES = [{"name": "a.safetensors"}]


async def call(api: LocalApi, method: str, **fields: Any) -> Any:
    return await api.call(method, request_type(find(method))(**fields))


async def refused(api: LocalApi, method: str, **fields: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as told:
        await call(api, method, **fields)
    return told.value.code, told.value.reason


async def create(api: LocalApi, task_id: str) -> str:
    made = await call(api, "TaskService/CreateTask", task={"graph_json": json.dumps(GRAPH)}, task_id=task_id)
    return str(made.task.name)


@pytest.mark.parametrize("method", ["GetNode", "CordonNode", "UncordonNode", "DrainNode"])
async def test_a_node_that_nobody_knows_is_not_found(api: LocalApi, method: str) -> None:
    assert await refused(api, f"FleetService/{method}", name="nodes/absent") == ("NOT_FOUND", "NODE_NOT_FOUND")
    assert await refused(api, f"FleetService/{method}", name="absent") == ("INVALID_ARGUMENT", "INPUT_INVALID")


async def test_what_is_wanted_of_a_node_is_kept_and_taken_back(api: LocalApi) -> None:
    for method in ("CordonNode", "DrainNode"):
        await call(api, f"FleetService/{method}", name=NAME, reason="new disk")
    assert [m.subject for m in api.bus.stored("intent.>")] == [subjects.intent(NODE)]
    node = (await call(api, "FleetService/UncordonNode", name=NAME)).node
    assert (node.name, node.availability) == (NAME, node_pb2.Node.AVAILABILITY_OPEN)


async def test_the_fleet_is_told_at_once_to_who_watches_it(api: LocalApi) -> None:
    told = await call(api, "FleetService/WatchFleet")
    assert [message.WhichOneof("event") for message in told[:2]] == ["node", "synced"]
    assert told[0].node.name == NAME


async def test_pools_and_models_are_listed_page_by_page(api: LocalApi) -> None:
    assert list((await call(api, "FleetService/ListPools")).pools) == []
    first = await call(api, "FleetService/ListModels", page_size=1)
    second = await call(api, "FleetService/ListModels", page_size=1, page_token=first.next_page_token)
    assert [answer.models[0].name.rpartition("/")[2] for answer in (first, second)] == [
        "a.safetensors",
        "b.safetensors",
    ]
    for method in ("ListPools", "ListModels", "ListNodes"):
        invalid = await refused(api, f"FleetService/{method}", page_token="made up")
        assert invalid == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
        assert await refused(api, f"FleetService/{method}", page_size=-1) == ("INVALID_ARGUMENT", "INPUT_INVALID")


async def test_models_are_preloaded_where_they_are(api: LocalApi) -> None:
    answer = await call(api, "FleetService/PreloadModels", node=NAME, instance="x", files=FILES)
    assert [node.name for node in answer.nodes] == [NAME]


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"node": "nodes/absent", "instance": "x"}, "NOT_FOUND", "NODE_NOT_FOUND"),
        ({"pool": "absent"}, "NOT_FOUND", "POOL_NOT_FOUND"),
        ({"node": NAME, "instance": "absent"}, "NOT_FOUND", "INSTANCE_NOT_FOUND"),
        ({"node": NAME, "files": [{"name": "c.safetensors"}]}, "INVALID_ARGUMENT", "INPUT_INVALID"),
    ],
)
async def test_what_can_t_be_preloaded_is_refused(
    api: LocalApi, fields: dict[str, Any], code: str, reason: str
) -> None:
    assert await refused(api, "FleetService/PreloadModels", **{"files": FILES, **fields}) == (code, reason)


async def test_the_catalog_comes_once(api: LocalApi) -> None:
    told = await call(api, "FleetService/ReadCatalog")
    known = {each.name: json.loads(each.info_json) for message in told for each in message.node_classes}
    assert known == CLASSES
    again = await call(api, "FleetService/ReadCatalog", known_digest=told[0].digest)
    assert [each for message in again for each in message.node_classes] == []


async def test_the_policy_is_read_and_changed_by_who_has_read_it(api: LocalApi) -> None:
    policy = (await call(api, "SchedulingService/GetPolicy")).policy
    method, mask = "SchedulingService/UpdatePolicy", {"paths": ["spread_after"]}
    changed = (await call(api, method, policy={"spread_after": 50.0, "etag": policy.etag}, update_mask=mask)).policy
    assert changed.spread_after == 50.0
    assert (await call(api, "SchedulingService/GetPolicy")).policy == changed
    stale = {"spread_after": 40.0, "etag": policy.etag}
    assert await refused(api, method, policy=stale, update_mask=mask) == ("ABORTED", "ETAG_MISMATCH")
    wrong = await refused(api, method, policy={}, update_mask={"paths": ["nonsense"]})
    assert wrong == ("INVALID_ARGUMENT", "INPUT_INVALID")


async def test_where_no_scheduler_acts_the_queue_is_unknown(api: LocalApi) -> None:
    assert await refused(api, "SchedulingService/GetQueue") == ("UNAVAILABLE", "SCHEDULER_UNAVAILABLE")


async def test_a_task_s_graph_is_told_apart(api: LocalApi) -> None:
    name = await create(api, "graph")
    assert json.loads((await call(api, "TaskService/GetTaskGraph", name=name)).graph_json) == GRAPH
    assert await refused(api, "TaskService/GetTaskGraph", name="tasks/absent") == ("NOT_FOUND", "TASK_NOT_FOUND")


async def test_a_dead_letter_is_told_with_its_task(api: LocalApi) -> None:
    name = await create(api, "dead")
    assert await refused(api, "DeadLetterService/GetDeadLetter", name=name) == (
        "FAILED_PRECONDITION",
        "TASK_NOT_FAILED",
    )
    stored = await api.log.get(Key("default", "dead"))
    assert stored is not None
    for event in (assigned(), failed()):
        stored = await api.log.change(stored, event, NOW)
    letter = (await call(api, "DeadLetterService/GetDeadLetter", name=name)).dead_letter
    assert isinstance(letter, dead_letter_pb2.DeadLetter)
    assert letter.task.name == name


async def test_a_record_that_can_t_be_read_says_which(api: LocalApi) -> None:
    name = await create(api, "torn")
    await api.bus.append([Entry(subjects.task(Key("default", "torn")), b"\xff\xff")])
    with pytest.raises(Refused) as told:
        await call(api, "TaskService/GetTask", name=name)
    assert (told.value.code, told.value.reason) == ("DATA_LOSS", "RECORD_UNREADABLE")
    assert told.value.metadata["subject"] == subjects.task(Key("default", "torn"))
