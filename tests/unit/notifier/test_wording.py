"""What people read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.notifier.domain import wording
from comfymesh.notifier.domain.alerts import Notice
from comfymesh.notifier.domain.rules import BaseRule
from comfymesh.testkit.alerting import Telling, rules_of


def told(rule: dict[str, object], times: int = 1, **facts: str) -> tuple[Notice, BaseRule | None]:
    telling = Telling(rules_of({"kind": "task_failed", "name": "failed", **rule}))
    telling.fails(times, **facts)
    notice = (telling.told or telling.passes(10))[0]
    return notice, telling.rules.named("failed")


def test_a_message_says_what_how_often_where_and_what_to_do() -> None:
    notice, rule = told({"runbook": "docs/alerts.md#failed"}, 3, message="it broke", node="a")
    said = wording.word(notice, rule)
    assert said.title == "[ERROR] failed (3 times)"
    assert said.text.splitlines() == [
        "it broke",
        "tenant: default",
        "task: t3",
        "class: NODE_EXCEPTION",
        "node: a",
        "noticed by: log",
        f"alert: {notice.alert.alert_id}",
        "what to do: docs/alerts.md#failed",
    ]


def test_a_template_is_filled_in_once() -> None:
    notice, rule = told({"summary": "{task} of {tenant}: {message}"}, message="{tenant} {x}")
    assert wording.word(notice, rule).text.splitlines()[0] == "t1 of default: {tenant} {x}"


def test_what_was_held_back_is_told_as_a_number() -> None:
    telling = Telling(rules_of({"kind": "task_failed", "name": "failed", "wait": 0}))
    telling.fails(10)
    (again,) = telling.passes(301)
    said = wording.word(again, telling.rules.named("failed"))
    assert said.title == "[ERROR] again: failed"
    assert "9 more suppressed since the last message, 10 in all" in said.text


@given(st.text(max_size=3000))
def test_no_text_breaks_out_of_its_line(hostile: str) -> None:
    notice, rule = told({}, message=hostile, node=hostile)
    said = wording.word(notice, rule)
    assert len(said.title.splitlines()) == 1
    assert len(said.text) < 4000
    assert {line.partition(":")[0] for line in said.text.split("\n")[1:]} <= {
        "tenant", "task", "class", "node", "noticed by", "alert",
    } or not said.text.split("\n")[0].strip()  # fmt: skip
    assert not any(ord(character) < 32 and character != "\n" for character in said.text)
