"""Docs that are made from code are as the code is, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comfymesh.agent.settings import AgentSettings
from comfymesh.api.access.scopes import Scope
from comfymesh.api.settings import ApiSettings
from comfymesh.emulator.faults import Fault
from comfymesh.tasks import diagram
from comfymesh.tasks.machine import TRANSITIONS
from comfymesh.tasks.record import FINAL

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"]


def test_the_page_of_states_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "states.md").read_text() == diagram.page()


def test_nothing_leaves_a_final_state() -> None:
    assert all(ends == (before,) for (before, _), ends in TRANSITIONS.items() if before in FINAL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_setting_of_the_agent_is_documented() -> None:
    page = (ROOT / "docs" / "agent.md").read_text()
    names = {f"COMFYMESH_{name}".upper() for name in AgentSettings.model_fields}
    assert {name for name in names if name not in page} == set()


def test_every_failure_in_the_docs_names_tests_that_exist_and_every_fault_of_the_emulator_is_there() -> None:
    page = (ROOT / "docs" / "failures.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|") and "`test_" in line]
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for row in rows for name in re.findall(r"`(test_\w+)`", row) if f"def {name}(" not in tests} == set()
    assert {fault for fault in Fault if f"`{fault}`" not in page} == set()


def test_every_setting_of_security_is_documented() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    names = {f"COMFYMESH_{name}".upper() for name in ApiSettings.model_fields if name.startswith(("api_tls", "oidc"))}
    names |= {f"COMFYMESH_API_{name}" for name in ("AUTH", "ALLOW_OPEN", "ALLOW_PLAINTEXT", "BOOTSTRAP_KEY_FILE")}
    names |= {f"COMFYMESH_API_{name}" for name in ("MAX_CALLS", "MAX_CONNECTION_CALLS", "DRAIN_NOTICE_SECONDS")}
    assert {name for name in names if name not in page} == set()


def test_every_scope_is_documented() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    assert {scope for scope in Scope if f"| `{scope.lower()}` |" not in page} == set()
