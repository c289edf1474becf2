"""Names, marks, keys, refusals and ranges: what leads from ComfyUI's words to the mesh's and back."""

from __future__ import annotations

import base64
import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.client import (
    AccessDenied,
    ComfyMeshError,
    InvalidRequest,
    LimitExceeded,
    NoFeasibleNode,
    Unavailable,
    Violation,
)
from comfymesh.gateway.domain import credentials, marks, naming, refusals, serving, submission
from comfymesh.gateway.domain.marks import Marks
from comfymesh.gateway.domain.outbox import Outbox
from comfymesh.gateway.domain.serving import Part

DIGEST = "ab" * 32
PROMPT = "0a9c3f6e-5b1d-4c2e-9f70-d4e8b6a1c352"
NAMES = st.text(st.characters(exclude_characters="/\\", exclude_categories=["Cs"]), max_size=150)


@given(st.uuids())
def test_a_prompt_and_its_task_lead_to_each_other(given_id: uuid.UUID) -> None:
    assert naming.prompt_id(f"tasks/{naming.task_id(str(given_id))}") == str(given_id)


@pytest.mark.parametrize("text", ["", "x", PROMPT.upper(), PROMPT.replace("-", ""), None, 5, f"{PROMPT}\n"])
def test_what_is_no_canonical_uuid_is_no_prompt_id(text: object) -> None:
    assert not naming.is_prompt_id(text)


@given(NAMES, st.uuids(), st.integers(0, 999_999))
def test_the_name_of_an_output_leads_to_its_artifact(filename: str, of: uuid.UUID, number: int) -> None:
    artifact = f"tasks/t{of.hex}/artifacts/{number}"
    name = naming.output_name(filename, artifact)
    assert naming.artifact_of(name) == artifact


def test_outputs_of_one_name_are_called_apart_and_keep_how_they_begin_and_end() -> None:
    first, second = (naming.output_name("made_00001_.png", f"tasks/t{of * 32}/artifacts/0") for of in "ab")
    assert first != second
    assert first.startswith("made_00001_")
    assert first.endswith("-0.png")


@given(NAMES, st.sampled_from(["", "a", "a/b", "deep/" * 4]))
def test_an_upload_is_found_by_the_name_that_was_answered(filename: str, subfolder: str) -> None:
    name = naming.upload_name(filename, subfolder)
    if name is not None:
        answered = name.with_content(DIGEST)
        assert len(answered.kept) <= 128
        assert answered.kept.isprintable()
        assert "/" not in answered.kept
        again = naming.upload_name(f"{answered.subfolder}/{answered.filename}".lstrip("/"))
        assert again is not None
        assert again.asset == f"assets/{DIGEST}"
        assert again.with_content(DIGEST) == again
        assert name.matches(answered.kept, DIGEST)


@pytest.mark.parametrize(
    ("filename", "subfolder"),
    [
        ("../x", ""),
        ("x", "../y"),
        ("/x", ""),
        ("x", "/y"),
        ("..", ""),
        ("", ""),
        ("x/", ""),
        ("..\\x", ""),
        ("x" * 200, ""),
    ],
)
def test_an_upload_that_leads_out_or_can_not_be_kept_has_no_name(filename: str, subfolder: str) -> None:
    assert naming.upload_name(filename, subfolder) is None


@given(st.none() | st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_what_is_written_on_a_task_is_read_again(client_id: str | None, number: float) -> None:
    client = None if client_id is None else marks.client_mark(client_id)
    written = Marks(client, number, "auto", "w")
    labels = written.labels()
    assert all(len(value) <= 128 for value in labels.values())
    assert marks.read(labels) == written


def test_ids_of_clients_that_no_label_holds_are_told_apart() -> None:
    assert len({marks.client_mark(each) for each in ("", "\n", "ä", "x" * 129, "x" * 130, "\ud800")}) == 6


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ({}, {}, ""),
        ({"Authorization": "Bearer k1"}, {"token": "k2"}, "k1"),
        ({"Authorization": "bearer  k1 "}, {}, "k1"),
        ({"Authorization": f"Basic {base64.b64encode(b'anybody:k:1').decode()}"}, {}, "k:1"),
        ({"Authorization": "Basic ###"}, {}, "unusable"),
        ({"X-API-Key": "k3"}, {}, "k3"),
        ({}, {"token": "k4"}, "k4"),
        ({}, {"token": "k\r\nx: y"}, "unusable"),
        ({}, {"token": "ä"}, "unusable"),
        ({}, {"token": "k" * 9000}, "unusable"),
    ],
)
def test_a_key_is_found_wherever_clients_put_it(headers: dict[str, str], query: dict[str, str], key: str) -> None:
    assert credentials.key(headers, query) == key


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (AccessDenied("no", reason="UNAUTHENTICATED", code="UNAUTHENTICATED"), 401, {"WWW-Authenticate"}),
        (AccessDenied("no", reason="SCOPE_MISSING", code="PERMISSION_DENIED"), 403, set()),
        (LimitExceeded("later", reason="RATE_LIMITED", retry_after=timedelta(seconds=0.2)), 429, {"Retry-After"}),
        (Unavailable("away", reason="BUS_UNAVAILABLE"), 503, set()),
        (NoFeasibleNode("none", reason="NO_FEASIBLE_NODE"), 400, set()),
        (InvalidRequest("large", reason="MESSAGE_TOO_LARGE"), 413, set()),
    ],
)
def test_what_the_mesh_refuses_is_refused_in_kind(error: ComfyMeshError, status: int, headers: set[str]) -> None:
    refusal = refusals.of(error)
    assert (refusal.status, set(refusal.headers)) == (status, headers)
    assert refusal.body["node_errors"] == {}


def test_violations_are_told_by_graph_node() -> None:
    wrong = Violation("task.graph_json[7].inputs.seed", "is not allowed")
    body: Any = refusals.of(InvalidRequest("no\r\nX: y", reason="GRAPH_NOT_ALLOWED", violations=[wrong])).body
    assert body["node_errors"]["7"]["errors"][0]["message"] == "is not allowed"
    assert set(body["error"]) == {"type", "message", "details", "extra_info"}


@pytest.mark.parametrize(
    ("header", "size", "wanted"),
    [
        (None, 10, Part(0, 10, partial=False)),
        ("bytes=2-4", 10, Part(2, 5, partial=True)),
        ("bytes=2-", 10, Part(2, 10, partial=True)),
        ("bytes=-3", 10, Part(7, 10, partial=True)),
        ("bytes=-30", 10, Part(0, 10, partial=True)),
        ("bytes=8-99", 10, Part(8, 10, partial=True)),
        ("bytes=10-", 10, None),
        ("bytes=-0", 10, None),
        ("bytes=5-2", 10, None),
        ("bytes=0-0", 0, None),
        ("bytes=1-2,4-5", 10, Part(0, 10, partial=False)),
        ("items=1-2", 10, Part(0, 10, partial=False)),
        ("bytes=-", 10, Part(0, 10, partial=False)),
    ],
)
def test_a_range_is_read(header: str | None, size: int, wanted: Part | None) -> None:
    assert serving.part(header, size) == wanted


@pytest.mark.parametrize(
    ("filename", "media_type", "shown", "attached"),
    [
        ("a.png", "image/png", "image/png", False),
        ("a.html", "text/plain; charset=utf-8", "application/octet-stream", True),
        ("a.png", "text/html", "application/octet-stream", True),
        ("a.svg", "image/svg+xml", "application/octet-stream", True),
        ('a"\r\nX: y.png', "image/png\r\nX: y", "application/octet-stream", False),
    ],
)
def test_no_file_is_run_by_a_browser(filename: str, media_type: str, shown: str, attached: bool) -> None:  # noqa: FBT001
    assert serving.shown_type(filename, media_type) == shown
    told = serving.disposition(filename, media_type)
    assert told.startswith("attachment") is attached
    assert told.isprintable()
    assert told.count('"') == 2


def test_a_slow_reader_is_told_the_latest_and_everything_that_matters() -> None:
    box = Outbox()
    for number in range(500):
        box.put(f"progress {number}", ("progress", "p"))
        if number % 50 == 0:
            box.put(f"executed {number}")
    told = list(iter(box.take, None))
    assert [message for message in told if str(message).startswith("executed")] == [
        f"executed {n}" for n in range(0, 500, 50)
    ]
    assert told[-1] == "progress 499"
    assert len(told) < 100
    assert not box.too_slow


@pytest.mark.parametrize("box", [Outbox(most_messages=10), Outbox(most_bytes=100)])
def test_who_does_not_read_at_all_is_too_slow(box: Outbox) -> None:
    for _ in range(11):
        box.put("x" * 10)
    assert box.too_slow


def ask(body: Any) -> submission.Submission:
    return submission.read(body, 5.0, lambda: str(uuid.uuid4()))


@pytest.mark.parametrize("body", [None, 5, True, {"prompt": None}, {"prompt": "x"}, {"prompt": {}, "number": []}])
def test_bodies_that_comfyui_stumbles_over_are_told_apart(body: Any) -> None:
    with pytest.raises(submission.ShapelessError):
        ask(body)


def test_prompts_are_numbered_by_the_clock_and_those_in_front_below_zero() -> None:
    assert ask({"prompt": {}}).marks.number == 5_000_000
    front = ask({"prompt": {}, "front": True})
    assert (front.marks.number, front.priority) == (-5_000_000, 10)


def test_a_number_is_no_id_of_a_client() -> None:
    assert ask({"prompt": {}, "client_id": 5}).marks.client not in {marks.client_mark("5"), None}
