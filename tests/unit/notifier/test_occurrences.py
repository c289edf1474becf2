"""What happens at a moment: told once, counted, told again as a number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from comfymesh.notifier.domain.alerts import MOST_ALERTS, NoticeKind
from comfymesh.notifier.domain.events import Acknowledged, Outcome
from comfymesh.notifier.domain.values import Severity
from comfymesh.notifier.domain.windows import Silence
from comfymesh.testkit.alerting import Telling, a_failure, rules_of


def test_a_thousand_equal_errors_make_one_message_with_a_count() -> None:
    telling = Telling(rules_of({"kind": "task_failed"}))
    assert telling.fails(1000) == []
    (notice,) = telling.passes(6)
    assert (notice.kind, notice.new, notice.suppressed) == (NoticeKind.FIRING, 1000, 0)
    assert telling.passes(3600) == []


def test_an_alert_says_which_path_noticed_the_failure() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "group_by": ["class", "exception_type"]}))
    (by_poll,) = telling.fails(exception_type="ValueError", noticed_by="poll")
    (by_log,) = telling.fails(exception_type="KeyError")
    assert [notice.alert.signal.path for notice in (by_poll, by_log)] == ["poll", "log"]


def test_without_a_wait_the_first_is_told_at_once_and_the_others_as_a_number() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0}))
    (first,) = telling.fails(1000)
    assert (first.new, first.suppressed) == (1, 0)
    assert telling.passes(299) == []
    (second,) = telling.passes(1)
    assert (second.kind, second.new, second.suppressed) == (NoticeKind.REPEATED, 999, 999)


def test_errors_of_different_types_are_different_alerts() -> None:
    telling = Telling(rules_of({"kind": "task_failed"}))
    telling.fails(3, exception_type="ValueError")
    telling.fails(2, exception_type="KeyError")
    assert sorted(notice.new for notice in telling.passes(6)) == [2, 3]


def test_errors_that_never_end_are_told_once_in_each_cool_down() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "cooldown": "5m"}))
    for _ in range(3600):
        telling.fails()
        telling.passes(1)
    assert len(telling.told) == 13
    assert sum(notice.new for notice in telling.told) >= 3600 - 300


def test_what_was_just_told_as_a_number_is_not_told_as_new_at_once() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "cooldown": "5m", "window": "5m"}))
    telling.fails(2)
    (repeated,) = telling.passes(301)
    assert repeated.kind is NoticeKind.REPEATED
    assert telling.fails() == []
    (later,) = telling.passes(300)
    assert (later.kind, later.new) == (NoticeKind.REPEATED, 1)


def test_an_error_that_comes_back_after_its_end_is_told_at_once() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "window": "5m"}))
    telling.fails()
    telling.passes(301)
    assert telling.core.state.alerts == {}
    (again,) = telling.fails()
    assert again.kind is NoticeKind.FIRING


def test_keywords_raise_the_severity_and_break_the_cool_down() -> None:
    rule = {"kind": "task_failed", "wait": 0, "group_by": ["class"], "keywords": {"(?i)out of memory": "critical"}}
    telling = Telling(rules_of(rule))
    (first,) = telling.fails()
    (second,) = telling.fails(message="CUDA Out Of Memory")
    assert (first.severity, second.severity) == (Severity.ERROR, Severity.CRITICAL)
    assert telling.fails(message="CUDA Out Of Memory") == []


def test_a_rule_that_counts_is_told_when_so_many_have_come_within_its_window() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "count": 3, "window": "1m", "wait": 0}))
    for _ in range(5):
        assert telling.fails() == []
        telling.passes(31)
    assert telling.fails() == []
    (notice,) = telling.fails()
    assert notice.kind is NoticeKind.FIRING


def test_attempts_that_are_tried_again_concern_only_who_asks_for_them() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0}, {"kind": "attempt_failed", "wait": 0}))
    notices = telling.happens(a_failure(1, Outcome.RETRIED))
    assert [notice.alert.signal.rule for notice in notices] == ["attempt-failed"]


def test_a_rule_chooses_by_class_tenant_workflow_label_and_pattern() -> None:
    rule = {
        "kind": "task_failed",
        "wait": 0,
        "classes": ["OUT_OF_MEMORY"],
        "tenants": ["team-*"],
        "workflows": ["poster*"],
        "error": r"\bVAE\b",
    }
    chosen = {"class_": "OUT_OF_MEMORY", "tenant": "team-a", "workflow": "poster-2", "message": "VAE decode"}
    assert len(Telling(rules_of(rule)).fails(**chosen)) == 1
    for other in ({"class_": "STALLED"}, {"tenant": "b"}, {"workflow": "x"}, {"message": "UVAEX"}):
        assert Telling(rules_of(rule)).fails(**chosen | other) == [], other


def test_a_pattern_that_others_could_not_bear_is_searched_in_no_time() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "error": "(a+)+$"}))
    assert telling.fails(message="a" * 10_000 + "!") == []


def test_an_acknowledged_alert_is_not_told_again() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "escalate": {"after": "1m"}}))
    (first,) = telling.fails()
    telling.happens(Acknowledged(first.alert.alert_id, "anna"))
    telling.fails(5)
    assert telling.passes(1200) == []
    assert telling.core.state.alerts == {}


def test_an_alert_that_nobody_acknowledges_is_escalated_once() -> None:
    escalation = {"after": "10m", "channels": ["boss"]}
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "channels": ["ops"], "escalate": escalation}))
    for _ in range(20):
        telling.fails()
        telling.passes(60)
    (escalated,) = [notice for notice in telling.told if notice.kind is NoticeKind.ESCALATED]
    assert (escalated.severity, escalated.to) == (Severity.CRITICAL, ("boss",))


def test_what_is_silenced_is_not_told_and_not_told_later() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "cooldown": "1m", "window": "1m"}))
    telling.core.silences["s"] = Silence("s", ("task-*",), telling.now, telling.now + 600, {"class": "NODE_*"})
    telling.fails(10)
    assert telling.passes(700) == []
    assert len(telling.fails()) == 1


def test_nobody_is_told_in_a_maintenance_window_and_everybody_after_it() -> None:
    begins = datetime.fromtimestamp(Telling(rules_of()).now + 60, UTC)
    window = {"starts": begins, "ends": begins + timedelta(minutes=10), "rules": ["task-*"], "name": "disks"}
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0, "group_by": ["task"]}, maintenance=(window,)))
    assert len(telling.fails()) == 1
    assert telling.passes(61) == []
    telling.fails(10)
    assert telling.passes(600) == []
    assert len(telling.told) == 1
    assert len(telling.fails()) == 1


def test_what_happened_in_a_silence_that_ends_early_is_not_told_later() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": "10s"}))
    telling.fails(2)
    telling.core.silences["s"] = Silence("s", (), telling.now, telling.now + 600)
    telling.fails(5)
    telling.passes(20)
    del telling.core.silences["s"]
    (notice,) = telling.passes(1)
    assert (notice.kind, notice.new) == (NoticeKind.FIRING, 2)
    assert telling.passes(400) == []


def test_a_silence_is_for_what_it_names() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "wait": 0}))
    telling.core.silences["s"] = Silence("s", (), telling.now, telling.now + 600, {"class": "STALLED"})
    assert len(telling.fails()) == 1


def test_a_record_that_comes_twice_counts_once() -> None:
    telling = Telling(rules_of({"kind": "task_failed"}))
    telling.happens(a_failure(5))
    telling.happens(a_failure(5))
    (notice,) = telling.passes(6)
    assert notice.new == 1


def test_a_restart_forgets_nothing_that_was_counted() -> None:
    telling = Telling(rules_of({"kind": "task_failed"}))
    telling.fails(7)
    again = telling.begins_again()
    (notice,) = again.passes(6)
    assert notice.new == 7


def test_more_alerts_than_anybody_reads_are_counted_together() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "group_by": ["task"]}))
    telling.fails(MOST_ALERTS + 50)
    notices = telling.passes(6)
    assert len(notices) == len(telling.core.state.alerts) <= MOST_ALERTS + 1
    assert sum(notice.new for notice in notices) == MOST_ALERTS + 50


def test_an_instance_that_goes_down_three_times_is_told() -> None:
    telling = Telling(rules_of({"kind": "instance_crashed", "wait": 0}))
    for _ in range(3):
        assert telling.told == []
        telling.reports(down={"comfyui-0": False, "other": True})
        telling.reports(down={"comfyui-0": True, "other": True})
        telling.reports(down={"comfyui-0": True, "other": True})
    (notice,) = telling.told
    assert notice.alert.signal.labels == {"node": "a", "instance": "comfyui-0"}
