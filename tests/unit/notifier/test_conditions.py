"""What lasts: told when it has lasted, told again now and then, and told to be over."""

from __future__ import annotations

from comfymesh.notifier.domain.alerts import NoticeKind
from comfymesh.notifier.domain.core import FORGET_NODE
from comfymesh.notifier.domain.events import Acknowledged, Gpu, Heard, Measured
from comfymesh.notifier.domain.values import Severity
from comfymesh.notifier.domain.windows import Silence
from comfymesh.testkit.alerting import Telling, rules_of


def kinds(telling: Telling) -> list[NoticeKind]:
    return [notice.kind for notice in telling.told]


def test_a_node_that_falls_silent_is_lost_and_its_return_is_told() -> None:
    telling = Telling(rules_of({"kind": "node_lost", "for": "30s", "clear_for": 0}))
    telling.reports()
    assert telling.passes(29) == []
    (lost,) = telling.passes(1)
    assert lost.alert.signal.labels == {"node": "a"}
    telling.reports()
    (back,) = telling.passes(1)
    assert back.kind is NoticeKind.RESOLVED
    assert telling.passes(20) == []


def test_a_node_that_was_told_to_leave_may_be_silent() -> None:
    telling = Telling(rules_of({"kind": "node_lost"}))
    telling.reports(leaving=True)
    assert telling.passes(600) == []


def test_a_node_that_does_not_come_back_is_forgotten() -> None:
    telling = Telling(rules_of({"kind": "node_lost", "repeat": 0}))
    telling.reports()
    telling.passes(FORGET_NODE + 100, step=10)
    assert kinds(telling) == [NoticeKind.FIRING, NoticeKind.RESOLVED]
    assert telling.core.state.nodes == {}


def test_silence_while_nobody_could_hear_means_nothing() -> None:
    telling = Telling(rules_of({"kind": "node_lost", "for": "30s"}, {"kind": "silent", "roles": ["scheduler"]}))
    telling.reports()
    telling.happens(Heard("scheduler"))
    assert telling.passes(300, deaf=True) == []
    assert telling.passes(20) == []
    telling.reports()
    telling.happens(Heard("scheduler"))
    assert telling.passes(20) == []


def test_a_node_that_was_lost_while_the_notifier_was_away_is_found_lost() -> None:
    telling = Telling(rules_of({"kind": "node_lost", "for": "30s"}))
    telling.reports()
    telling.now += 600
    again = telling.begins_again()
    assert again.passes(29) == []
    assert len(again.passes(2)) == 1


def test_a_node_that_is_lost_stays_lost_over_a_restart_and_a_loss_of_the_bus() -> None:
    telling = Telling(rules_of({"kind": "node_lost", "for": "30s"}, {"kind": "silent", "for": "30s"}))
    telling.reports()
    assert len(telling.passes(60)) == 3
    telling.now += 600
    again = telling.begins_again()
    assert again.passes(20, deaf=True) == []
    assert again.passes(300) == []


def test_the_dead_man_switch_tells_who_is_silent() -> None:
    telling = Telling(rules_of({"kind": "silent", "for": "10s", "clear_for": 0}))
    for _ in range(12):
        telling.happens(Heard("api"))
        telling.passes(1)
    (notice,) = telling.told
    assert notice.alert.signal.labels == {"role": "scheduler"}
    assert notice.severity is Severity.CRITICAL
    telling.happens(Heard("scheduler"))
    assert [notice.kind for notice in telling.passes(1)] == [NoticeKind.RESOLVED]


def test_the_loss_of_the_bus_itself_is_told() -> None:
    telling = Telling(rules_of({"kind": "silent", "for": "10s", "clear_for": 0}))
    telling.passes(11, deaf=True)
    (notice,) = telling.told
    assert notice.alert.signal.labels == {"role": "nats"}
    telling.passes(1)
    assert kinds(telling) == [NoticeKind.FIRING, NoticeKind.RESOLVED]


def test_the_loss_of_the_bus_is_told_by_one_that_had_not_read_everything_by_then() -> None:
    telling = Telling(rules_of({"kind": "silent", "for": "30s"}, {"kind": "queue_length", "above": 1}))
    telling.core.complete = False
    telling.happens(Measured(2, 0.0))
    assert telling.passes(20) == []
    assert [notice.alert.signal.labels for notice in telling.passes(32, deaf=True)] == [{"role": "nats"}]


def test_a_gpu_that_is_hot_for_long_enough_is_told() -> None:
    telling = Telling(rules_of({"kind": "gpu_temperature", "above": 85, "for": "1m"}))
    for _ in range(3):
        telling.reports(gpus=(Gpu("G1", temperature=90.0), Gpu("G2", temperature=60.0), Gpu("G3")))
        assert telling.passes(20) == []
    telling.reports(gpus=(Gpu("G1", temperature=90.0), Gpu("G2", temperature=60.0), Gpu("G3")))
    (notice,) = telling.passes(2)
    assert notice.alert.signal.labels == {"node": "a", "gpu": "G1"}


def test_a_gpu_that_is_hot_now_and_then_is_not_told() -> None:
    telling = Telling(rules_of({"kind": "gpu_temperature", "above": 85, "for": "1m"}))
    for _ in range(10):
        for _ in range(2):
            telling.reports(gpus=(Gpu("G1", temperature=90.0),))
            telling.passes(20)
        telling.reports(gpus=(Gpu("G1", temperature=70.0),))
        telling.passes(5)
    assert telling.told == []


def test_what_a_silent_node_has_reported_says_nothing_any_more() -> None:
    telling = Telling(rules_of({"kind": "gpu_temperature", "above": 85, "for": "1m"}))
    telling.reports(gpus=(Gpu("GPU-1", temperature=90.0),))
    assert telling.passes(600) == []
    telling.reports(gpus=(Gpu("GPU-1", temperature=90.0),))
    assert telling.passes(1) == []


def test_what_was_told_of_a_node_that_falls_silent_has_not_ended_before_it_is_back_or_forgotten() -> None:
    telling = Telling(rules_of({"kind": "disk_low", "below": "10GiB", "repeat": 0}))
    telling.reports(free_disk=1.0)
    assert [notice.kind for notice in telling.passes(600)] == [NoticeKind.FIRING]
    telling = telling.begins_again()
    assert telling.passes(600) == []
    telling.reports(free_disk=2.0**40)
    assert [notice.kind for notice in telling.passes(60)] == [NoticeKind.RESOLVED]


def test_full_memory_and_a_full_disk_are_told() -> None:
    telling = Telling(rules_of({"kind": "gpu_memory", "above": "95%"}, {"kind": "disk_low", "below": "10GiB"}))
    telling.reports(gpus=(Gpu("G1", memory_used=0.97),), free_disk=5.0 * 2**30)
    assert sorted(notice.alert.signal.rule for notice in telling.passes(1)) == ["disk-low", "gpu-memory"]


def test_a_queue_that_is_long_or_old_is_told() -> None:
    telling = Telling(rules_of({"kind": "queue_length", "above": 100}, {"kind": "queue_age", "above": "10m"}))
    telling.happens(Measured(100, 600.0))
    assert telling.passes(1) == []
    telling.happens(Measured(101, 601.0))
    assert sorted(notice.alert.signal.rule for notice in telling.passes(1)) == ["queue-age", "queue-length"]


def test_each_stalled_task_is_told_and_its_going_on_too() -> None:
    telling = Telling(rules_of({"kind": "stalled_task", "above": "5m", "clear_for": 0}))
    telling.happens(Measured(0, 0.0, {"t1": (301.0, {"node": "a"}), "t2": (10.0, {})}))
    (notice,) = telling.passes(1)
    assert (notice.alert.signal.labels, notice.alert.signal.path) == ({"task": "t1"}, "silence")
    telling.happens(Measured(0, 0.0))
    telling.passes(1)
    assert kinds(telling) == [NoticeKind.FIRING, NoticeKind.RESOLVED]


def test_a_failure_rate_counts_what_ended_within_its_window() -> None:
    telling = Telling(
        rules_of({"kind": "failure_rate", "above": "20%", "window": "10m", "minimum": 20, "clear_for": 0})
    )
    telling.succeeds(15)
    telling.fails(4)
    assert telling.passes(1) == []
    telling.fails(1)
    (notice,) = telling.passes(1)
    assert "5 of 20" in notice.alert.signal.message
    telling.succeeds(10)
    assert [notice.kind for notice in telling.passes(1)] == [NoticeKind.RESOLVED]
    telling.passes(700, step=10)
    assert telling.core.state.rates == {}


def test_a_condition_is_told_again_until_somebody_sees_to_it() -> None:
    telling = Telling(rules_of({"kind": "queue_length", "above": 1, "repeat": "1h"}))
    telling.happens(Measured(2, 0.0))
    telling.passes(3 * 3600 + 10, step=10)
    assert kinds(telling) == [NoticeKind.FIRING, *[NoticeKind.REPEATED] * 3]
    telling.happens(Acknowledged(telling.told[0].alert.alert_id, "anna"))
    assert telling.passes(3 * 3600, step=10) == []


def test_a_condition_that_outlasts_its_silence_is_told_then() -> None:
    telling = Telling(rules_of({"kind": "queue_length", "above": 1}))
    telling.core.silences["s"] = Silence("s", ("queue-*",), telling.now, telling.now + 600)
    telling.happens(Measured(2, 0.0))
    assert telling.passes(599) == []
    assert len(telling.passes(2)) == 1


def test_a_rule_that_is_gone_leaves_no_alert() -> None:
    telling = Telling(rules_of({"kind": "queue_length", "above": 1}))
    telling.happens(Measured(2, 0.0))
    telling.passes(1)
    again = Telling(rules_of({"kind": "task_failed"}), telling.core.state)
    assert again.passes(1) == []
    assert again.core.state.alerts == {}
