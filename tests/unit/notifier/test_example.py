"""The example rules are good, and each of them says what to do on a page that says it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from comfymesh.notifier import rulesfile
from comfymesh.notifier.domain.rules import Rules
from comfymesh.notifier.domain.templates import FIELDS
from comfymesh.notifier.settings import NotifierSettings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "alerts.md").read_text()


@pytest.fixture(scope="module")
def rules() -> Rules:
    return rulesfile.read(ROOT / "examples" / "alerts.yaml")


def test_the_example_has_a_rule_of_every_kind(rules: Rules) -> None:
    kinds = set(re.findall(r'"const": "(\w+_\w+|silent)"', json.dumps(Rules.model_json_schema())))
    assert kinds == {rule.kind for rule in rules.rules}


def test_each_rule_has_a_section_that_says_what_to_do(rules: Rules) -> None:
    sections = set(re.findall(r"^### (.+)$", PAGE, flags=re.MULTILINE))
    assert {rule.name for rule in rules.rules} <= sections
    assert [rule.runbook for rule in rules.rules] == [f"docs/alerts.md#{rule.name}" for rule in rules.rules]


def test_the_rules_of_the_compose_file_are_good_and_say_what_to_do() -> None:
    rules = rulesfile.read(ROOT / "deploy" / "notifier" / "alerts.yaml")
    assert [rule.runbook for rule in rules.rules] == [f"docs/alerts.md#{rule.name}" for rule in rules.rules]


@pytest.mark.parametrize("docs_url", ["https://wiki.example/mesh", "https://wiki.example/mesh/"])
def test_runbooks_lead_to_where_the_pages_are(rules: Rules, docs_url: str) -> None:
    own = rules.rules[0].model_copy(update={"runbook": "https://other.example/page"})
    none = rules.rules[0].model_copy(update={"runbook": ""})
    led = rules.model_copy(update={"rules": (rules.rules[0], own, none)}).documented(docs_url)
    first = f"https://wiki.example/mesh/docs/alerts.md#{rules.rules[0].name}"
    assert [rule.runbook for rule in led.rules] == [first, "https://other.example/page", ""]
    assert rules.documented("") is rules


def test_every_kind_key_field_and_setting_is_documented(rules: Rules) -> None:
    keys = {key for rule in rules.rules for key in rule.model_dump(by_alias=True)}
    settings = {f"COMFYMESH_{name}".upper() for name in NotifierSettings.__annotations__}
    kinds = {rule.kind for rule in rules.rules}
    channel = set(type(rules.channels[0]).model_fields)
    assert [word for word in sorted(keys | settings | FIELDS | kinds | channel) if f"`{word}" not in PAGE] == []
