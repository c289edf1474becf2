from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.client import (
    Asset,
    InvalidRequest,
    NodeState,
    PreviewArrived,
    Progressed,
    TaskChanged,
    TaskState,
    Url,
)
from comfymesh.client.convert import (
    events_from_proto,
    state_to_proto,
    task_from_proto,
    task_to_proto,
)
from comfymesh.client.fleet_convert import node_from_proto
from comfymesh.client.inputs import input_to_proto, inputs_to_proto
from comfymesh.v1 import error_reason_pb2, node_pb2, task_pb2, task_service_pb2


class NumpyLike:
    """An integer of a foreign type, as numerical libraries have them."""

    def __index__(self) -> int:
        return 2**63


@given(st.integers(min_value=-(2**63), max_value=2**64 - 1))
def test_integers_of_64_bits_arrive_exactly(number: int) -> None:
    message = task_pb2.InputValue.FromString(input_to_proto(number).SerializeToString())
    kind = message.WhichOneof("kind")
    assert kind == ("int64_value" if number < 2**63 else "uint64_value")
    assert getattr(message, kind) == number


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_larger_integers_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        input_to_proto(number)


def test_each_type_has_its_field() -> None:
    assert input_to_proto(value=True).WhichOneof("kind") == "bool_value"
    assert input_to_proto(1).WhichOneof("kind") == "int64_value"
    assert input_to_proto(1.0).WhichOneof("kind") == "double_value"
    assert input_to_proto("1").WhichOneof("kind") == "string_value"
    assert input_to_proto(Asset("assets/x")).asset == "assets/x"
    assert input_to_proto(Url("https://a.example/b.png")).url == "https://a.example/b.png"
    assert input_to_proto(NumpyLike()).uint64_value == 2**63


def test_all_unusable_inputs_are_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        inputs_to_proto({"3.seed": 2**64, "3.steps": 20, "4.x": None})  # type: ignore[dict-item]
    assert [violation.field for violation in caught.value.violations] == [
        "task.inputs[3.seed]",
        "task.inputs[4.x]",
    ]
    assert caught.value.reason == "INPUT_INVALID"


def test_options_that_were_not_given_are_not_set() -> None:
    message = task_to_proto("{}", {}, {})
    assert message == task_pb2.Task(graph_json="{}")
    assert not message.HasField("execution_timeout")
    assert not message.HasField("start_timeout")


def test_options_reach_the_message() -> None:
    message = task_to_proto(
        "{}",
        {"3.seed": 1},
        {
            "priority": 5,
            "labels": {"a": "b"},
            "execution_timeout": timedelta(seconds=1.5),
            "start_timeout": timedelta(minutes=2),
            "max_retries": 2,
        },
    )
    assert (message.priority, dict(message.labels), message.max_retries) == (5, {"a": "b"}, 2)
    assert message.execution_timeout.ToTimedelta() == timedelta(seconds=1.5)
    assert message.start_timeout.ToTimedelta() == timedelta(minutes=2)


def test_a_task_keeps_all_it_has() -> None:
    message = task_pb2.Task(
        name="tasks/x",
        state=task_pb2.Task.STATE_FAILED,
        labels={"a": "b"},
        artifacts=[task_pb2.Artifact(name="tasks/x/artifacts/1", filename="a.png")],
        error=task_pb2.TaskError(reason=error_reason_pb2.ERROR_REASON_OUT_OF_MEMORY, retryable=True),
    )
    message.create_time.FromDatetime(datetime(2026, 1, 2, 3, tzinfo=UTC))
    task = task_from_proto(message)
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert (task.error.reason, task.error.retryable) == ("OUT_OF_MEMORY", True)
    assert task.create_time == datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert task.end_time is None
    assert task.artifacts[0].filename == "a.png"


def test_what_a_newer_server_says_is_unknown_and_no_error() -> None:
    task = task_from_proto(task_pb2.Task(state=99, error=task_pb2.TaskError(reason=999)))
    assert task.state is TaskState.UNKNOWN
    assert not task.state.final
    assert task.error is not None
    assert task.error.reason == "REASON_999"
    assert events_from_proto(task_service_pb2.WatchTaskResponse(resume_token="1")) == []


@pytest.mark.parametrize("state", TaskState)
def test_states_go_both_ways(state: TaskState) -> None:
    number = task_pb2.Task.State.Value(state_to_proto(state))
    assert task_from_proto(task_pb2.Task(state=number)).state is state


def test_the_sdk_knows_every_state_of_the_contract() -> None:
    known = {state_to_proto(state) for state in TaskState}
    assert known == set(task_pb2.Task.State.keys())


def test_every_kind_of_event_has_its_class() -> None:
    answer = task_service_pb2.WatchTaskResponse
    events = [
        *events_from_proto(answer(task=task_pb2.Task(name="tasks/x"), resume_token="a")),
        *events_from_proto(answer(progress=task_pb2.TaskProgress(fraction=0.5))),
        *events_from_proto(answer(preview=task_pb2.Preview(data=b"x"))),
        *events_from_proto(answer(heartbeat=task_pb2.Heartbeat())),
    ]
    assert isinstance(events[0], TaskChanged)
    assert events[0].resume_token == "a"
    assert isinstance(events[1], Progressed)
    assert events[1].progress.eta is None
    assert isinstance(events[2], PreviewArrived)
    assert len(events) == 3


def test_changes_that_are_told_together_are_events_in_order() -> None:
    states = [task_pb2.Task.STATE_QUEUED, task_pb2.Task.STATE_ASSIGNED, task_pb2.Task.STATE_SUCCEEDED]
    *passed, last = (task_pb2.Task(name="tasks/x", state=state) for state in states)
    events = events_from_proto(task_service_pb2.RunTaskResponse(passed=passed, task=last, resume_token="a"))
    assert [event.task.state for event in events if isinstance(event, TaskChanged)] == [
        "QUEUED",
        "ASSIGNED",
        "SUCCEEDED",
    ]
    assert {event.resume_token for event in events} == {"a"}


def test_a_node_keeps_its_gpus_and_instances() -> None:
    message = node_pb2.Node(
        name="nodes/a",
        state=node_pb2.Node.STATE_UNREACHABLE,
        gpus=[node_pb2.Gpu(model="H200", memory_bytes=5)],
        instances=[node_pb2.Instance(name="i", slots=2)],
    )
    node = node_from_proto(message)
    assert node.state is NodeState.UNREACHABLE
    assert node.gpus[0].memory_bytes == 5
    assert node.instances[0].slots == 2


def test_what_a_driver_does_not_tell_is_none_and_not_zero() -> None:
    gpus = [node_pb2.Gpu(uuid="GPU-1"), node_pb2.Gpu(uuid="GPU-2", utilization_percent=0, uncorrected_errors=3)]
    message = node_pb2.Node(name="nodes/a", gpus=gpus, host=node_pb2.Host(memory_bytes=7, disk_free_bytes=8))
    node = node_from_proto(message)
    assert [gpu.utilization_percent for gpu in node.gpus] == [None, 0]
    assert [gpu.uncorrected_errors for gpu in node.gpus] == [None, 3]
    assert (node.host.memory_bytes, node.host.disk_free_bytes) == (7, 8)


@pytest.mark.parametrize("field", ["priority", "max_retries"])
@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 10**30])
def test_a_number_that_no_message_can_carry_is_refused_as_a_violation(field: str, number: int) -> None:
    with pytest.raises(InvalidRequest) as error:
        task_to_proto("{}", {}, {field: number})  # type: ignore[misc]
    assert error.value.violations[0].field == f"task.{field}"


def test_a_value_of_which_no_input_can_be_is_told_with_its_type() -> None:
    with pytest.raises(TypeError, match=r"^No input can be of type object; give bool, int, "):
        input_to_proto(object())  # type: ignore[arg-type]  # what a caller may do
