"""The rules file: everything that is wrong with it is told at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfymesh.notifier import rulesfile
from comfymesh.notifier.rulesfile import RulesError

WRONG = """\
version: 1
channels:
  - name: ops
    url: json://127.0.0.1
    env: OPS_URL
rules:
  - name: Tasks
    kind: task_failed
    error: "(a"
    cooldown: soon
  - name: lost
    kind: node_lots
  - name: hot
    kind: gpu_temperature
    abvoe: 85
  - name: hot
    kind: queue_age
    above: 10m
    summary: "{nothing} waits"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as refused:
        rulesfile.parse(text)
    assert refused.value.exit_code == 78
    return [str(problem) for problem in refused.value.problems]


def test_every_violation_is_named_at_once_with_its_line() -> None:
    found = problems(WRONG)
    starts = [
        "line 3: channels[0]: needs exactly one of url, env and file",
        "line 7: rules[0].name: String should match",
        "line 10: rules[0].cooldown: must be a duration such as 30s",
        "line 9: rules[0].error: is no pattern of RE2",
        "line 11: rules[1]: Input tag 'node_lots'",
        "line 13: rules[2].above: Field required",
        "line 15: rules[2].abvoe: Extra inputs are not permitted",
        "line 19: rules[3].summary: there is no field 'nothing'",
    ]
    assert len(found) == len(starts)
    assert all(any(line.startswith(start) for line in found) for start in starts), found


def test_what_the_parts_say_of_each_other_must_hold() -> None:
    text = """\
version: 1
rules:
  - {name: a, kind: task_failed, channels: [ops], escalate: {after: 5m, channels: [boss]}}
  - {name: a, kind: node_lost}
"""
    assert problems(text) == [
        "line 4: rules[1].name: a is there twice",
        "line 3: rules[0].channels[0]: there is no channel ops",
        "line 3: rules[0].escalate.channels[0]: there is no channel boss",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("version: [", "line 1: it is no YAML"),
        ("- 1", "line 1: Input should be a valid dictionary"),
        ("version: 2", "line 1: version: Input should be 1"),
        ("version: 1\nrules: []\nrules: []\n", "line 3: rules: is there twice"),
        ("a: &a [x]\nb: [*a, *a]", "line 2: aliases"),
        ("version: !!python/object/apply:os.system ['true']", "line 1: it is no YAML"),
        ("[" * 900 + "]" * 900, "it is nested too deeply"),
        ("#" * 2_000_000, "it has 2000000 characters"),
    ],
)
def test_what_is_no_rules_file_is_refused(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="can't be read"):
        rulesfile.read(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(RulesError, match="can't be read"):
        rulesfile.read(tmp_path / "binary.yaml")


def test_secrets_are_not_shown() -> None:
    rules = rulesfile.parse("version: 1\nchannels: [{name: a, url: 'slack://secret-token'}]")
    assert "secret" not in repr(rules)


def test_durations_sizes_and_shares_are_written_as_people_do() -> None:
    rules = rulesfile.parse(
        """\
version: 1
rules:
  - {name: a, kind: disk_low, below: 1.5GiB, for: 1h30m}
  - {name: b, kind: gpu_memory, above: 95%, for: 10}
"""
    )
    a, b = rules.rules
    assert (a.below, a.hold) == (1.5 * 2**30, 5400.0)  # type: ignore[union-attr]
    assert (b.above, b.hold) == (0.95, 10.0)  # type: ignore[union-attr]
