"""Tasks that have failed, until somebody has seen to them: on the wire, in the SDK, on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from comfymesh.client import ComfyMeshError, Conflict, DeadLetterResolution, InvalidRequest, NotFound, Task, TaskState
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State
from comfymesh.testkit.refusals import refused
from comfymesh.v1 import dead_letter_pb2, dead_letter_service_pb2, dead_letter_service_pb2_grpc, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

Filter = dead_letter_pb2.DeadLetterFilter
List = dead_letter_service_pb2.ListDeadLettersRequest
Requeue = dead_letter_service_pb2.RequeueDeadLettersRequest
Drop = dead_letter_service_pb2.DropDeadLettersRequest


@pytest.fixture
def run() -> str:
    """A label of this test alone."""
    return uuid4().hex[:8]


async def failed(mesh: LocalMesh, run: str, **fields: object) -> str:
    """The name of a task that has failed."""
    task = await mesh.create(graphs.raising("runtime"), labels={"run": run}, **fields)
    assert (await mesh.finished(task.name)).state == State.STATE_FAILED
    return task.name


async def listed(mesh: LocalMesh, run: str, *, resolved: bool = False) -> list[str]:
    letters = mesh.client.dead_letters(labels={"run": run}, include_resolved=resolved)
    return [letter.task.name async for letter in letters]


def new(outcome: Task | ComfyMeshError) -> Task:
    assert isinstance(outcome, Task), outcome
    return outcome


async def test_what_failed_is_listed_the_newest_first_until_it_is_resolved(mesh: LocalMesh, run: str) -> None:
    first, second = await failed(mesh, run), await failed(mesh, run)
    assert await listed(mesh, run) == [second, first]
    await mesh.client.drop(first)
    assert await listed(mesh, run) == [second]
    assert await listed(mesh, run, resolved=True) == [second, first]


async def test_it_comes_with_the_evidence(mesh: LocalMesh, run: str) -> None:
    task = await mesh.create(graphs.raising("runtime"), labels={"run": run}, max_retries=1)
    await mesh.finished(task.name)
    letter = await mesh.client.dead_letter(task.name)
    assert [(f.attempt, f.reason) for f in letter.failures] == [(1, "NODE_EXCEPTION"), (2, "NODE_EXCEPTION")]
    assert all(f.node == letter.task.node and f.instance == letter.task.instance and f.time for f in letter.failures)
    error = letter.task.error
    assert error is not None
    assert "Traceback" in error.traceback or "File" in error.traceback
    assert error.log_tail
    assert len(error.log_tail.encode()) <= 8192
    # A page of them is small.
    (short,) = [found async for found in mesh.client.dead_letters(labels={"run": run})]
    assert short.task.error is not None
    assert (short.task.error.traceback, short.task.error.log_tail) == ("", "")
    assert short.failures == letter.failures


async def test_a_graph_that_takes_its_instance_down_leaves_the_last_words_of_it(mesh: LocalMesh, run: str) -> None:
    task = await mesh.create(graphs.raising("os_exit"), labels={"run": run})
    assert (await mesh.finished(task.name)).state == State.STATE_FAILED
    letter = await mesh.client.dead_letter(task.name)
    assert [failure.reason for failure in letter.failures] == ["INSTANCE_LOST"] * 3
    assert letter.task.error is not None
    assert letter.task.error.log_tail
    await mesh.until_serving()


async def test_what_is_requeued_runs_as_a_new_task_and_the_old_one_says_so(mesh: LocalMesh, run: str) -> None:
    task = await mesh.create(
        graphs.steps(2000, 0.05),
        labels={"run": run},
        priority=7,
        display_name="late",
        execution_timeout={"nanos": 10**8},
    )
    assert (await mesh.finished(task.name)).state == State.STATE_FAILED
    again = new((await mesh.client.requeue(task.name))[task.name])
    assert again.name != task.name
    assert (again.requeued_from, again.priority, again.labels, again.display_name) == (
        task.name,
        7,
        {"run": run},
        "late",
    )
    assert (again.graph_digest, again.attempt) == (task.graph_digest, 0)
    old = await mesh.client.get(task.name)
    assert (old.state, old.dead_letter_resolution, old.requeued_as) == (
        TaskState.FAILED,
        DeadLetterResolution.REQUEUED,
        again.name,
    )
    # It has the same limit, so it fails in the same way, and is a dead letter of its own.
    assert (await mesh.finished(again.name)).state == State.STATE_FAILED
    assert await listed(mesh, run) == [again.name]
    third = new((await mesh.client.requeue(again.name))[again.name])
    assert third.name not in {task.name, again.name}
    await mesh.finished(third.name)


@pytest.mark.parametrize("size", [10, 20_000], ids=["small", "large"])
async def test_a_requeued_task_has_the_whole_graph(mesh: LocalMesh, run: str, size: int) -> None:
    graph = graphs.raising("runtime")
    # Random, so that nothing makes it smaller.
    graph["9"]["inputs"]["filename_prefix"] = "x"
    graph["1"]["_meta"] = {"title": "".join(uuid4().hex for _ in range(size // 32 + 1))}
    task = await mesh.create(graph, labels={"run": run})
    await mesh.finished(task.name)
    again = new((await mesh.client.requeue(task.name))[task.name])
    final = await mesh.finished(again.name)
    assert final.error.metadata["exception_type"] == "RuntimeError"
    assert final.graph_digest == task.graph_digest


async def test_requeueing_at_once_and_again_makes_one_task(mesh: LocalMesh, run: str) -> None:
    name = await failed(mesh, run)
    made = await asyncio.gather(*(mesh.client.requeue(name) for _ in range(8)))
    again = {new(outcome[name]).name for outcome in made}
    assert len(again) == 1
    assert new((await mesh.client.requeue(name))[name]).name in again
    await mesh.finished(again.pop())
    assert len([task async for task in mesh.client.list(labels={"run": run})]) == 2


async def test_requeueing_survives_a_kill_of_the_server(mesh: LocalMesh, run: str) -> None:
    name = await failed(mesh, run)
    asking = asyncio.ensure_future(mesh.client.requeue(name))
    await mesh.kill("api")
    again = new((await asking)[name])
    assert new((await mesh.client.requeue(name))[name]).name == again.name
    assert (await mesh.client.get(name)).requeued_as == again.name
    await mesh.finished(again.name)


async def test_dropping_and_requeueing_at_once_lets_one_of_them_win(mesh: LocalMesh, run: str) -> None:
    name = await failed(mesh, run)
    requeued, dropped = await asyncio.gather(mesh.client.requeue(name), mesh.client.drop(name))
    refusals = [outcome for outcome in (requeued[name], dropped[name]) if isinstance(outcome, ComfyMeshError)]
    assert [refusal.reason for refusal in refusals] == ["DEAD_LETTER_RESOLVED"]
    task = await mesh.client.get(name)
    won = DeadLetterResolution.REQUEUED if isinstance(requeued[name], Task) else DeadLetterResolution.DROPPED
    assert task.dead_letter_resolution is won
    if won is DeadLetterResolution.REQUEUED:
        await mesh.finished(new(requeued[name]).name)


async def test_they_are_chosen_by_reason_group_label_and_time(mesh: LocalMesh, run: str) -> None:
    group = f"g{run}"
    plain = await failed(mesh, run, group=f"groups/{group}")
    late = await mesh.create(graphs.steps(2000, 0.05), labels={"run": run}, execution_timeout={"nanos": 10**8})
    await mesh.finished(late.name)
    between = datetime.now(UTC)

    async def found(**which: object) -> list[str]:
        return [letter.task.name async for letter in mesh.client.dead_letters(**which)]  # type: ignore[arg-type]

    assert await found(labels={"run": run}, reasons=["TIMEOUT"]) == [late.name]
    assert await found(labels={"run": run}, reasons=["timeout", "NODE_EXCEPTION"]) == [late.name, plain]
    assert await found(group=group) == [plain]
    assert await found(labels={"run": run}, failed_before=between) == [late.name, plain]
    assert await found(labels={"run": run}, failed_after=between + timedelta(seconds=1)) == []
    made = await mesh.client.requeue(labels={"run": run}, reasons=["NODE_EXCEPTION"])
    assert list(made) == [plain]
    # The new task belongs to the group as well.
    await mesh.finished(new(made[plain]).name)
    assert (await mesh.client.group(group).get()).task_count == 2
    dropped = await mesh.client.drop(labels={"run": run})
    assert set(dropped) == {late.name, new(made[plain]).name}
    assert await listed(mesh, run) == []


async def test_a_page_goes_on_where_the_one_before_ended(mesh: LocalMesh, run: str) -> None:
    names = [await failed(mesh, run) for _ in range(3)]
    letters = mesh.client.dead_letters(labels={"run": run}, page_size=2)
    assert [letter.task.name async for letter in letters] == names[::-1]


async def test_who_watches_the_task_is_told_its_end_and_no_more(mesh: LocalMesh, run: str) -> None:
    name = await failed(mesh, run)
    messages = await mesh.watch(name)
    await mesh.client.drop(name)
    (again,) = await mesh.watch(name)
    assert again.task.state == messages[-1].task.state == State.STATE_FAILED
    assert again.task.dead_letter_resolution
    assert not messages[-1].task.dead_letter_resolution
    (resumed,) = await mesh.watch(name, resume_token=messages[-1].resume_token)
    assert resumed.task == again.task
    assert again.task.end_time == messages[-1].task.end_time


async def test_who_watches_many_tasks_is_told_the_resolution(mesh: LocalMesh, run: str) -> None:
    name = await failed(mesh, run)
    request = task_service_pb2.WatchTasksRequest(labels={"run": run})
    call = mesh.tasks.WatchTasks(request)
    assert (await call.read()).HasField("caught_up")
    await mesh.client.drop(name)
    task = (await call.read()).task
    assert (task.name, task.state) == (name, State.STATE_FAILED)
    assert task.dead_letter_resolution
    call.cancel()


class TestRefusals:
    @pytest.fixture
    def stub(self, mesh: LocalMesh) -> dead_letter_service_pb2_grpc.DeadLetterServiceStub:
        return mesh.dead_letters

    async def test_each_is_refused_for_itself(self, mesh: LocalMesh, run: str) -> None:
        good, fine = await failed(mesh, run), await mesh.create(graphs.picture())
        await mesh.finished(fine.name)
        outcomes = await mesh.client.requeue("nobody", fine.name, good)
        assert list(outcomes) == ["tasks/nobody", fine.name, good]
        assert isinstance(outcomes["tasks/nobody"], NotFound)
        refusal = outcomes[fine.name]
        assert isinstance(refusal, Conflict)
        assert (refusal.reason, refusal.metadata) == ("TASK_NOT_FAILED", {"task": fine.name, "state": "SUCCEEDED"})
        await mesh.finished(new(outcomes[good]).name)
        again = (await mesh.client.drop(good))[good]
        assert isinstance(again, Conflict)
        assert again.metadata["requeued_as"] == new(outcomes[good]).name

    async def test_the_evidence_of_what_has_not_failed_is_refused(self, mesh: LocalMesh) -> None:
        fine = await mesh.create(graphs.picture())
        await mesh.finished(fine.name)
        with pytest.raises(Conflict, match="no dead letter"):
            await mesh.client.dead_letter(fine.name)
        with pytest.raises(NotFound):
            await mesh.client.dead_letter("nobody")

    @pytest.mark.parametrize("wish", [Requeue, Drop])
    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({}, {"names"}),
            ({"names": ["tasks/a"], "filter": Filter()}, {"names"}),
            ({"names": ["tasks/a", "x", "../y"]}, {"names[1]", "names[2]"}),
            ({"names": ["tasks/a"] * 1001}, {"names"}),
            (
                {"filter": Filter(group="nope", reasons=[0, 8, 999])},
                {"filter.group", "filter.reasons[0]", "filter.reasons[1]", "filter.reasons[2]"},
            ),
        ],
        ids=["nothing", "both", "malformed", "too many", "filter"],
    )
    async def test_a_wish_that_is_not_clear_is_refused_with_all_that_is_wrong(
        self, mesh: LocalMesh, wish: type[Requeue | Drop], fields: dict[str, object], wrong: set[str]
    ) -> None:
        method = mesh.dead_letters.RequeueDeadLetters if wish is Requeue else mesh.dead_letters.DropDeadLetters
        refusal = await refused(method(wish(**fields)))  # type: ignore[arg-type]
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == wrong

    async def test_a_list_is_refused_with_all_that_is_wrong(self, mesh: LocalMesh) -> None:
        refusal = await refused(
            mesh.dead_letters.ListDeadLetters(List(page_size=-1, filter=Filter(group="nope", reasons=[7])))
        )
        assert set(refusal.violations) == {"page_size", "filter.group", "filter.reasons[0]"}
        token = await refused(mesh.dead_letters.ListDeadLetters(List(page_token="x")))
        assert token.reason == "PAGE_TOKEN_INVALID"

    async def test_the_sdk_refuses_what_is_not_clear_before_it_calls(self, mesh: LocalMesh) -> None:
        for call in (mesh.client.requeue(), mesh.client.drop("one", group="g"), mesh.client.drop(reasons=["NOPE"])):
            with pytest.raises(InvalidRequest):
                await call

    async def test_nothing_is_changed_by_a_call_that_was_refused(
        self, mesh: LocalMesh, run: str, stub: dead_letter_service_pb2_grpc.DeadLetterServiceStub
    ) -> None:
        name = await failed(mesh, run)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.DropDeadLetters(Drop(names=[name, "not a name"]))
        assert await listed(mesh, run) == [name]


@dataclass
class Done:
    code: int
    out: str
    errors: str


Comfymesh = Callable[..., Awaitable[Done]]


@pytest.fixture
def comfymesh(mesh: LocalMesh, tmp_path: Path) -> Comfymesh:
    async def call(*arguments: str) -> Done:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comfymesh.cli", "dead-letters", *arguments),
            cwd=tmp_path,
            env={**os.environ, "COMFYMESH_TARGET": mesh.target, "COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, errors = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), errors.decode())

    return call


class TestCommandLine:
    async def test_they_are_listed_shown_and_requeued(self, mesh: LocalMesh, run: str, comfymesh: Comfymesh) -> None:
        name = (await failed(mesh, run)).removeprefix("tasks/")
        table = await comfymesh("list", "--label", f"run={run}")
        assert table.code == 0
        assert name in table.out
        assert "NODE_EXCEPTION" in table.out
        shown = await comfymesh("show", name)
        for part in ("traceback", "log tail", "attempt 1", "NODE_EXCEPTION on"):
            assert part in shown.out
        requeued = await comfymesh("requeue", name)
        assert (requeued.code, requeued.out.split(":")[0]) == (0, name)
        again = requeued.out.split()[-1]
        await mesh.finished(f"tasks/{again}")
        assert f"requeued as {again}" in (await comfymesh("list", "--label", f"run={run}", "--resolved")).out
        dropped = await comfymesh("drop", "--label", f"run={run}")
        assert (dropped.code, dropped.out) == (0, f"{again}: dropped\n")
        none = await comfymesh("list", "--label", f"run={run}")
        assert (none.code, none.out, none.errors) == (0, "", "No such dead letters.\n")

    async def test_machines_are_told_in_lines_of_json(self, mesh: LocalMesh, run: str, comfymesh: Comfymesh) -> None:
        name = await failed(mesh, run)
        (letter,) = map(json.loads, (await comfymesh("list", "--label", f"run={run}", "--json")).out.splitlines())
        assert (letter["task"]["name"], letter["failures"][0]["reason"]) == (name, "NODE_EXCEPTION")
        assert json.loads((await comfymesh("show", name, "--json")).out)["task"]["error"]["log_tail"]
        done = await comfymesh("drop", name, "nobody", "--json")
        good, bad = map(json.loads, done.out.splitlines())
        assert (done.code, good["dead_letter"], bad["dead_letter"]) == (2, name, "tasks/nobody")
        assert good["task"]["dead_letter_resolution"] == "DROPPED"
        assert bad["error"]["reason"] == "TASK_NOT_FOUND"

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("requeue",), "--all"),
            (("drop", "one", "--all"), "--all"),
            (("drop", "one", "--group", "g"), "--all"),
            (("list", "--reason", "NOPE"), "not a reason"),
            (("list", "--failed-after", "yesterday"), "yesterday"),
            (("show", "nobody"), "TASK_NOT_FOUND"),
            (("requeue", "nobody"), "TASK_NOT_FOUND"),
            (("requeue", "No Such Name"), "names[0]"),
            (("list", "--label", "x"), "--label"),
        ],
    )
    async def test_wrong_input_is_told_what_to_do(
        self, comfymesh: Comfymesh, arguments: tuple[str, ...], told: str
    ) -> None:
        done = await comfymesh(*arguments)
        assert done.code == 2
        assert told in done.errors
        assert "Traceback" not in done.errors
