"""The synchronous client, against a server in a process of its own: one loop of grpc.aio for each process."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from comfymesh.client import Client, Event, InvalidRequest, Progress, TaskChanged, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRAPH = {"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(server) as client:
        yield client


def test_run_works_without_asyncio(client: Client, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = client.run(GRAPH, {"3.seed": 7}, on_progress=seen.append, out=tmp_path)
    assert result.task.state is TaskState.SUCCEEDED
    assert result.artifacts[0].path == tmp_path / "ComfyUI_00001_.png"
    assert seen[-1].fraction == 0.95


def test_every_method_has_its_synchronous_form(client: Client) -> None:
    asset = client.upload(b"data", filename="x.png")
    task = client.create(GRAPH, {"1.image": asset}, display_name="hangs")
    assert client.get(task).name == task.name
    assert client.cancel(task).state is TaskState.CANCELLING
    done = client.create(GRAPH)
    states = [event.task.state for event in client.watch(done) if isinstance(event, TaskChanged)]
    assert states[-1] is TaskState.SUCCEEDED
    assert {task.name for task in client.list(page_size=1)} == {task.name, done.name}
    result = client.result(done)
    assert client.read_artifact(result.artifacts[0]).data == result.artifacts[0].data
    assert len(client.nodes()) == 2


def test_errors_come_through(client: Client) -> None:
    with pytest.raises(InvalidRequest):
        client.create({"bad": {}})


def test_a_watch_can_be_left_early(client: Client) -> None:
    task = client.create(GRAPH, display_name="hangs")
    for event in client.watch(task):
        assert isinstance(event, TaskChanged)
        break
    assert client.get(task).state is not TaskState.CANCELLED


def test_ctrl_c_interrupts_the_wait(client: Client) -> None:
    task = client.create(GRAPH, display_name="hangs")

    def interrupt(progress: Progress) -> None:
        assert progress.step == 8, "the only progress of this script, so that there is one interruption"
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        client.result(task, on_progress=interrupt)
    assert client.get(task).state is not TaskState.CANCELLED


def test_close_ends_the_thread(server: str) -> None:
    before = set(threading.enumerate())
    client = Client(server)
    client.nodes()
    (thread,) = {thread for thread in threading.enumerate() if thread.name == "comfymesh-client"} - before
    client.close()
    assert not thread.is_alive()


def test_what_others_wait_for_ends_when_the_client_is_closed(server: str) -> None:
    client = Client(server)
    events = client.watch(client.create(GRAPH, display_name="hangs"))
    next(events)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(list[Event], events)
        client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            waiting.result(10)


def test_who_asks_a_closed_client_is_told_so(server: str) -> None:
    client = Client(server)
    events = client.watch(client.create(GRAPH, display_name="hangs"))
    next(events)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.nodes()
    events.close()  # type: ignore[attr-defined]  # as the interpreter does with an iterator that was left early


def test_a_callback_that_would_wait_for_itself_is_told_so(client: Client) -> None:
    with pytest.raises(RuntimeError, match="a callback can't wait for its own client"):
        client.run(GRAPH, on_progress=lambda _: client.nodes())


def test_a_watch_that_was_left_may_be_forgotten_on_the_clients_own_thread(client: Client) -> None:
    watches = [client.watch(client.create(GRAPH, display_name="hangs"))]
    next(watches[0])
    client.run(GRAPH, on_progress=lambda _: watches.clear())
    assert client.nodes()
