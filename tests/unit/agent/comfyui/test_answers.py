"""Answers are read as recorded, and odd ones become errors that say what was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.comfyui.answers import (
    Accepted,
    Answer,
    QueueIds,
    read_accepted,
    read_job,
    read_queue,
    read_stored_name,
)
from comfymesh.agent.comfyui.errors import ComfyError, GraphRefused, RouteMissing, UnsupportedServer

if TYPE_CHECKING:
    from .recorded import Trace


def answer(status: int, body: object) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer("GET /x", status, raw)


def test_every_recorded_submission_is_accepted_or_refused_as_it_was(trace: Trace) -> None:
    for record in trace.of("http"):
        if (record["method"], record["path"]) != ("POST", "/prompt") or "status" not in record:
            continue
        reply = answer(record["status"], record.get("resp", record.get("resp_text", "").encode()))
        if record["status"] == 200:
            resp = record["resp"]
            accepted = read_accepted(reply, resp["prompt_id"])
            assert accepted == Accepted(resp["prompt_id"], resp["number"], resp["node_errors"])
        elif record["status"] == 400:
            with pytest.raises(GraphRefused) as refused:
                read_accepted(reply, "p")
            assert refused.value.error == record["resp"]["error"]
            assert refused.value.node_errors == record["resp"]["node_errors"]
        else:
            with pytest.raises(ComfyError, match="500"):
                read_accepted(reply, "p")


def test_every_recorded_queue_is_read_without_its_graphs(trace: Trace) -> None:
    for record in trace.of("http"):
        if (record["method"], record["path"]) == ("GET", "/queue") and "resp" in record:
            items = record["resp"]
            expected = [item[1] for item in sorted(items["queue_pending"], key=lambda item: (item[0], item[1]))]
            running = tuple(item[1] for item in items["queue_running"])
            assert read_queue(answer(200, items)) == QueueIds(running, tuple(expected))


def test_waiting_prompts_are_listed_in_the_order_in_which_they_will_run() -> None:
    pending = [[5, "b", {}, {}, []], [-3, "front", {}, {}, []], [5, "a", {}, {}, []], "odd", [1], [1, 2]]
    assert read_queue(answer(200, {"queue_running": None, "queue_pending": pending})).pending == ("front", "a", "b")


def test_every_recorded_job_is_found_or_not(trace: Trace) -> None:
    for record in trace.of("http"):
        path = record["path"]
        if record["method"] == "GET" and path.startswith("/api/jobs/") and "resp" in record:
            job = read_job(answer(record["status"], record["resp"]))
            assert (job is None) == (record["status"] == 404)


@pytest.mark.parametrize(("status", "body"), [(404, b""), (404, b"404: Not Found"), (405, b"405"), (404, b"{}")])
def test_a_server_without_jobs_is_told_apart_from_one_without_this_job(status: int, body: bytes) -> None:
    with pytest.raises(RouteMissing):
        read_job(answer(status, body))
    assert read_job(answer(404, {"error": "Job not found"})) is None


def test_a_prompt_id_of_the_servers_own_is_refused() -> None:
    with pytest.raises(UnsupportedServer, match=r"0\.3\.45") as error:
        read_accepted(answer(200, {"prompt_id": "other", "number": 1, "node_errors": {}}), "mine")
    assert error.value.prompt_id == "other"


def test_a_refusal_without_an_error_object_is_a_plain_error() -> None:
    with pytest.raises(ComfyError, match="400: nonsense") as error:
        read_accepted(answer(400, b"nonsense"), "p")
    assert not isinstance(error.value, GraphRefused)


def test_odd_bodies_are_errors_that_say_what_was_asked() -> None:
    for body in (b"", b"<html>", b"[1]", b"\xff"):
        with pytest.raises(ComfyError, match="GET /x"):
            answer(200, body).object()


def test_the_token_nan_is_tolerated() -> None:
    assert answer(200, b'{"a": NaN}').object().keys() == {"a"}


def test_the_name_of_an_upload_includes_its_folder() -> None:
    assert (
        read_stored_name(answer(200, {"name": "a (1).png", "subfolder": "task", "type": "input"})) == "task/a (1).png"
    )
    assert read_stored_name(answer(200, {"name": "a.png", "subfolder": ""})) == "a.png"
    with pytest.raises(ComfyError, match="names no file"):
        read_stored_name(answer(200, {"subfolder": ""}))
