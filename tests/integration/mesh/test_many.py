"""One stream that follows many tasks."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.record import Key
from comfymesh.testkit import graphs
from comfymesh.testkit.meshapi import id_of, one_by_one
from comfymesh.testkit.meshes import LocalMesh, State, is_course, states_of
from comfymesh.testkit.refusals import refused
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

Request = task_service_pb2.WatchTasksRequest
Messages = list[task_service_pb2.WatchTasksResponse]


@pytest.fixture
def labels() -> dict[str, str]:
    return {"run": uuid4().hex}


async def take(mesh: LocalMesh, ends: int, **request: Any) -> Messages:
    """Everything that a stream tells until so many tasks have ended."""
    call, told = mesh.tasks.WatchTasks(Request(**request)), Messages()
    async for message in call:
        told.append(message)
        ends -= message.task.state == State.STATE_SUCCEEDED
        if not ends and message.HasField("task"):
            break
    call.cancel()
    return told


async def begun(mesh: LocalMesh, **request: Any) -> Any:
    """A stream that has told what was there."""
    call = mesh.tasks.WatchTasks(Request(**request))
    async for message in call:
        if message.HasField("caught_up"):
            break
    return call


async def test_every_change_of_the_tasks_that_match_is_told_in_order(mesh: LocalMesh, labels: dict[str, str]) -> None:
    call = await begun(mesh, labels=labels)
    other = await mesh.create(graphs.picture())
    made = [(await mesh.create(graphs.picture(), labels=labels)).name for _ in range(5)]
    told = Messages()
    async for message in call:
        told.append(message)
        if sum(each.task.state == State.STATE_SUCCEEDED for each in told) == 5:
            break
    call.cancel()
    assert {message.task.name for message in told} == set(made)
    assert other.name not in {message.task.name for message in told}
    for name in made:
        states = states_of([message for message in told if message.task.name == name])
        assert states[0] == "QUEUED"
        assert is_course(states)


async def test_what_is_there_comes_first_and_nothing_is_missing_between(
    mesh: LocalMesh, labels: dict[str, str]
) -> None:
    done = await mesh.finished((await mesh.create(graphs.picture(), labels=labels)).name)
    creating = [asyncio.ensure_future(mesh.create(graphs.picture(), labels=labels)) for _ in range(10)]
    call, told = mesh.tasks.WatchTasks(Request(labels=labels, include_existing=True)), Messages()
    async for message in call:
        told.append(message)
        # A reader that is slow may be told all ends as what is there, and only then that this was all.
        ended = sum(each.task.state == State.STATE_SUCCEEDED for each in told)
        if ended == 11 and any(each.HasField("caught_up") for each in told):
            break
    call.cancel()
    names = {done.name, *(task.name for task in await asyncio.gather(*creating))}
    assert {message.task.name for message in told if message.HasField("task")} == names
    for name in names:
        states = states_of([message for message in told if message.task.name == name])
        assert is_course(states)
    assert sum(message.HasField("caught_up") for message in told) == 1


async def test_several_changes_come_in_one_message_each_with_the_position_behind_it(
    mesh: LocalMesh, labels: dict[str, str]
) -> None:
    made = [(await mesh.create(graphs.picture(), labels=labels)).name for _ in range(5)]
    for name in made:
        await mesh.finished(name)
    wanted = {"labels": labels, "include_existing": True, "max_changes": 3}
    stream = mesh.tasks.WatchTasks(Request(**wanted)).__aiter__()
    first, second = await anext(stream), await anext(stream)
    told = [change.task.name for change in first.passed] + [first.task.name]
    assert [len(first.passed), len(second.passed)] == [2, 1]
    assert [*told, second.passed[0].task.name, second.task.name] == made[::-1]
    for place, change in enumerate(first.passed, start=1):
        on = mesh.tasks.WatchTasks(Request(resume_token=change.resume_token, **wanted)).__aiter__()
        behind = await anext(on)
        assert [*(each.task.name for each in behind.passed), behind.task.name] == made[::-1][place : place + 3]


async def test_changes_that_come_close_together_are_told_in_one_message(
    mesh: LocalMesh, labels: dict[str, str]
) -> None:
    call = await begun(mesh, labels=labels, max_changes=64)
    mesh.freeze("scheduler")
    made = await asyncio.gather(*(mesh.create(graphs.picture(), labels=labels) for _ in range(8)))
    # All that follows comes to the api at once, however slow the others are.
    mesh.freeze("api")
    mesh.thaw("scheduler")
    async with await JetStreamBus.open(mesh.nats_url, "test") as bus:
        log = TaskLog(bus)
        for task in made:
            await until(partial(has_ended, log, task.name), f"the end of {task.name}")
    mesh.thaw("api")
    told, messages = Messages(), 0
    async for message in call:
        messages += 1
        told += one_by_one(message)
        if sum(each.task.state == State.STATE_SUCCEEDED for each in told) == 8:
            break
    call.cancel()
    assert messages < len(told)
    for name in {message.task.name for message in told}:
        assert is_course(states_of([message for message in told if message.task.name == name]))


async def has_ended(log: TaskLog, name: str) -> bool:
    stored = await log.get(Key("default", id_of(name)))
    return stored is not None and stored.is_final


async def test_without_what_is_there_the_first_message_says_that_it_has_begun(
    mesh: LocalMesh, labels: dict[str, str]
) -> None:
    await mesh.create(graphs.picture(), labels=labels)
    call = mesh.tasks.WatchTasks(Request(labels={"run": "other"}))
    assert (await call.read()).HasField("caught_up")
    call.cancel()


async def test_states_choose_changes_into_them(mesh: LocalMesh, labels: dict[str, str]) -> None:
    call = await begun(mesh, labels=labels, states=[State.STATE_SUCCEEDED, State.STATE_FAILED])
    good = await mesh.create(graphs.picture(), labels=labels)
    bad = await mesh.create(graphs.raising("value"), labels=labels)
    told = [await anext(aiter(call)), await anext(aiter(call))]
    call.cancel()
    assert {message.task.name: states_of([message])[0] for message in told} == {
        good.name: "SUCCEEDED",
        bad.name: "FAILED",
    }


async def test_a_stream_that_is_cut_at_every_message_misses_and_repeats_nothing(
    mesh: LocalMesh, labels: dict[str, str]
) -> None:
    for _ in range(3):
        await mesh.finished((await mesh.create(graphs.picture(), labels=labels)).name)
    made = [(await mesh.create(graphs.steps(4, 0.03), labels=labels)).name for _ in range(3)]
    told, token = Messages(), ""
    while sum(message.task.state == State.STATE_SUCCEEDED for message in told) < 6:
        call = mesh.tasks.WatchTasks(Request(labels=labels, include_existing=True, resume_token=token))
        async for message in call:
            token = message.resume_token
            if message.HasField("task"):
                told.append(message)
                break
        call.cancel()
    for name in made:
        states = states_of([message for message in told if message.task.name == name])
        assert is_course(states)
    names = [message.task.name for message in told]
    assert all(names.count(name) == 1 for name in set(names) - set(made))
    assert len(set(names)) == 6


async def test_a_token_holds_across_a_restart_of_the_api(mesh: LocalMesh, labels: dict[str, str]) -> None:
    call = await begun(mesh, labels=labels)
    task = await mesh.create(graphs.picture(), labels=labels)
    first = await anext(aiter(call))
    call.cancel()
    await mesh.kill("api")
    await mesh.finished(task.name)
    told = await take(mesh, 1, labels=labels, resume_token=first.resume_token)
    assert is_course(states_of([first, *told]))
    assert states_of([first]) == ["QUEUED"]


async def test_silence_is_filled_with_heartbeats_whose_token_is_good(mesh: LocalMesh, labels: dict[str, str]) -> None:
    call = await begun(mesh, labels=labels)
    message = await anext(aiter(call))
    call.cancel()
    assert message.HasField("heartbeat")
    task = await mesh.create(graphs.picture(), labels=labels)
    told = await take(mesh, 1, labels=labels, resume_token=message.resume_token)
    assert {each.task.name for each in told if each.HasField("task")} == {task.name}


@pytest.mark.parametrize("token", ["garbage!", "AAAA", "☃", "AAAAAAAAAAAAAAA"])
async def test_a_token_that_is_none_is_refused(mesh: LocalMesh, token: str) -> None:
    refusal = await refused(mesh.tasks.WatchTasks(Request(resume_token=token)).read())
    assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
    assert set(refusal.violations) == {"resume_token"}


async def test_a_token_ahead_of_the_log_is_out_of_range(mesh: LocalMesh) -> None:
    refusal = await refused(mesh.tasks.WatchTasks(Request(resume_token="_________-8")).read())
    assert refusal.is_ == ("OUT_OF_RANGE", "RESUME_TOKEN_UNKNOWN")
    assert int(refusal.metadata["position"]) > int(refusal.metadata["last"])


async def test_everything_that_is_wrong_is_told_at_once(mesh: LocalMesh) -> None:
    wrong = Request(
        group="x",
        states=[99, 0],  # type: ignore[list-item]
        labels={f"k{n}": "" for n in range(65)},
        max_changes=-1,
    )
    refusal = await refused(mesh.tasks.WatchTasks(wrong).read())
    assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
    assert set(refusal.violations) == {"group", "states[0]", "states[1]", "labels", "max_changes"}
    listed = task_service_pb2.ListTasksRequest(
        group="x",
        states=[99],
        graph_digest="y",
        page_size=-1,  # type: ignore[list-item]
    )
    refusal = await refused(mesh.tasks.ListTasks(listed))
    assert set(refusal.violations) == {"group", "states[0]", "graph_digest", "page_size"}
