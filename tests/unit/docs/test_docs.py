"""Docs that are made from code are as the code is, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comfymesh.api.access.scopes import Scope
from comfymesh.api.settings import ApiSettings
from comfymesh.emulator.faults import Fault
from comfymesh.runtime.known_variables import NAMES
from comfymesh.tasks import diagram
from comfymesh.tasks.machine import TRANSITIONS
from comfymesh.tasks.record import FINAL

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)
}


def test_the_page_of_states_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "states.md").read_text() == diagram.page()


def test_nothing_leaves_a_final_state() -> None:
    assert all(ends == (before,) for (before, _), ends in TRANSITIONS.items() if before in FINAL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_sections_lead_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    pages = [(page.parent / link if link else page, section) for link, section in links]
    assert [(to.name, section) for to, section in pages if section not in sections(to)] == []


def sections(page: Path) -> set[str]:
    """What can be linked to in a page, as GitHub names it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_one_hop_from_the_readme() -> None:
    links = set(re.findall(r"\]\((docs/[^)#]+)", (ROOT / "README.md").read_text()))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages - links if str(Path(page).parent) not in links} == set()


def test_every_variable_in_the_docs_is_a_setting() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bCOMFYMESH_[A-Z_]*[A-Z]\b", page.read_text())}
    assert named - NAMES == {"COMFYMESH_TASK"}  # a field of the journal


@pytest.mark.parametrize("page", ["log.md", "face.md", "agent.md"])
def test_what_the_docs_name_as_shown_by_tests_is(page: str) -> None:
    rows = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("|")]
    files = {name for row in rows for name in re.findall(r"\btests/[\w/*]+(?:\.py)?", row)}
    assert {name for name in files if not list(ROOT.glob(name))} == set()
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for row in rows for name in re.findall(r"`(test_\w+)`", row) if f"def {name}(" not in tests} == set()


def test_every_failure_in_the_docs_names_tests_that_exist_and_every_fault_of_the_emulator_is_there() -> None:
    page = (ROOT / "docs" / "failures.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|") and "`test_" in line]
    assert all(re.search(r"`test_\w+`", row) for row in rows)
    assert {fault for fault in Fault if f"`{fault}`" not in page} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tests_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    places = {found.rstrip(".") for found in re.findall(r"(?<![\w/])tests/[\w/*.-]+", text)}
    assert {place for place in places if not list(ROOT.glob(place))} == set()
    assert {name for name in re.findall(r"`(test_\w+)`", text) if name not in TESTS} == set()


def test_every_setting_of_security_is_documented() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    names = {f"COMFYMESH_{name}".upper() for name in ApiSettings.model_fields if name.startswith(("api_tls", "oidc"))}
    names |= {f"COMFYMESH_API_{name}" for name in ("AUTH", "ALLOW_OPEN", "ALLOW_PLAINTEXT", "BOOTSTRAP_KEY_FILE")}
    names |= {f"COMFYMESH_API_{name}" for name in ("MAX_CALLS", "MAX_CONNECTION_CALLS", "DRAIN_NOTICE_SECONDS")}
    assert {name for name in names if name not in page} == set()


def test_every_scope_is_documented() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    assert {scope for scope in Scope if f"| `{scope.lower()}` |" not in page} == set()
