"""Which task a request ID makes."""

from __future__ import annotations

import pytest

from comfymesh.api.creation import bound_id, derived_key
from comfymesh.tasks.record import Key
from comfymesh.v1 import task_service_pb2

REQUEST_ID = "6f1c1a3e-8f43-4d8f-9b60-0f7f3d0c2a11"
DERIVED = derived_key(REQUEST_ID, "default").task_id


@pytest.mark.parametrize(
    ("request_id", "task_id", "bound"),
    [("", "mine", ""), ("", "", ""), (REQUEST_ID, "", ""), (REQUEST_ID, DERIVED, ""), (REQUEST_ID, "mine", DERIVED)],
)
def test_an_id_is_bound_where_the_caller_chose_another(request_id: str, task_id: str, bound: str) -> None:
    request = task_service_pb2.CreateTaskRequest(request_id=request_id, task_id=task_id)
    key = Key("default", task_id or (DERIVED if request_id else "new"))
    assert bound_id(request, key) == bound
