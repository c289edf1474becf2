"""What the SDK tells and is told of scheduling."""

from __future__ import annotations

from datetime import timedelta

import pytest

from comfymesh.client import Placement
from comfymesh.client.convert import events_from_proto, task_from_proto, task_to_proto
from comfymesh.client.events import Progressed
from comfymesh.client.fleet_convert import node_from_proto
from comfymesh.client.scheduling_convert import policy_from_proto, policy_to_proto, queue_from_proto, waiting_from_proto
from comfymesh.v1 import node_pb2, queue_pb2, scheduling_policy_pb2, task_pb2, task_service_pb2

WISH = Placement({"zone": "eu"}, "nvidia-l40s", 5, "video")


def estimate(remaining: int, error: int) -> queue_pb2.Estimate:
    message = queue_pb2.Estimate()
    message.remaining.FromSeconds(remaining)
    message.error.FromSeconds(error)
    return message


def test_a_wish_is_sent_and_shown() -> None:
    message = task_to_proto("{}", {}, {"placement": WISH})
    assert (dict(message.placement.labels), message.placement.pool) == ({"zone": "eu"}, "video")
    assert task_from_proto(message).placement == WISH
    assert task_from_proto(task_to_proto("{}", {}, {})).placement is None


def test_where_the_time_went() -> None:
    message = task_pb2.Task(timing=task_pb2.Timing(loaded_models=["a"], gpu_class="x"))
    message.timing.load_duration.FromMilliseconds(1500)
    timing = task_from_proto(message).timing
    assert timing is not None
    assert (timing.load, timing.run, timing.loaded_models) == (timedelta(seconds=1.5), timedelta(0), ("a",))


def test_why_a_task_waits_comes_with_its_progress() -> None:
    waiting = queue_pb2.Waiting(reason="busy", rejected={"busy": 2}, node="nodes/a", start=estimate(30, 5))
    answer = task_service_pb2.WatchTaskResponse(progress=task_pb2.TaskProgress(queue_position=3, waiting=waiting))
    (event,) = events_from_proto(answer)
    assert isinstance(event, Progressed)
    told = event.progress.waiting
    assert told == waiting_from_proto(waiting)
    assert told is not None
    assert told.start is not None
    assert (told.start.remaining, told.start.error, told.end) == (timedelta(seconds=30), timedelta(seconds=5), None)


def test_an_instance_shows_what_it_holds_and_is() -> None:
    message = node_pb2.Node(instances=[node_pb2.Instance(resident_models=["a", "b"], gpu_class="x", vram_bytes=7)])
    (instance,) = node_from_proto(message).instances
    assert (instance.resident_models, instance.gpu_class, instance.vram_bytes) == (("a", "b"), "x", 7)


def test_a_change_of_the_policy_sets_what_it_names_and_no_more() -> None:
    message = policy_to_proto({"affinity": False}, {"acme": {"weight": 2.0}, "other": None}, "7")
    assert message.HasField("affinity")
    assert not message.affinity
    assert (list(message.tenants), message.etag) == (["acme"], "7")
    assert not message.tenants["acme"].HasField("max_running")
    assert not policy_to_proto({"affinity": None}, {}, "").HasField("affinity")


@pytest.mark.parametrize(
    ("settings", "problem"), [({"afinity": True}, "affinity"), ({"etag": 1}, "no setting"), ({"affinity": 1.5}, "1.5")]
)
def test_a_setting_that_no_message_can_carry_is_refused(settings: dict[str, bool | float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        policy_to_proto(settings, {}, "")


def test_a_policy_shows_every_setting() -> None:
    message = scheduling_policy_pb2.SchedulingPolicy(affinity=True, etag="3")
    message.tenants["acme"].weight = 2.0
    policy = policy_from_proto(message)
    assert policy.settings["affinity"] is True
    assert policy.tenants["acme"]["weight"] == 2.0
    assert (policy.etag, policy.update_time) == ("3", None)


def test_a_queue_by_its_parts() -> None:
    share = queue_pb2.QueueShare
    message = queue_pb2.Queue(
        total=share(waiting_count=3),
        tenants=[share(tenant="acme", waiting_count=3, start=estimate(9, 1))],
        priorities=[share(priority=-5, running_count=1)],
        model_sets=[share(models=["a", "b"], waiting_count=2), share(waiting_count=1)],
    )
    queue = queue_from_proto(message)
    assert queue.total.waiting_count == 3
    assert queue.tenants["acme"].start is not None
    assert queue.priorities[-5].running_count == 1
    assert [models for models, _ in queue.model_sets] == [("a", "b"), ()]
