"""Nothing of the contract is without a test: each method is called by the wire, each reason is expected somewhere.

The lists come from the descriptors, the tests are read as text: what is new in the protos fails here
until it is tested.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from comfymesh.testkit.apis import methods
from comfymesh.v1.error_reason_pb2 import ErrorReason

TESTS = Path(__file__).parents[1]
REASONS = sorted(name.removeprefix("ERROR_REASON_") for name, number in ErrorReason.items() if number)
OF_AN_ATTEMPT = {
    "MISSING_DEPENDENCY": "unit/agent/test_verdict.py",
    "PREEMPTED": "unit/agent/test_attempts.py",
    "INPUT_UNAVAILABLE": "unit/agent/test_url_inputs.py",
    "OUTPUT_REFUSED": "unit/agent/test_verdict.py",
}
"""Why an attempt failed, as its agent finds out: shown there, without a mesh around."""
OF_A_CLIENT = {"NOT_IMPLEMENTED": "unit/client/test_statuses.py"}
"""Named by the SDK, where a server that is too old has no word for it."""
ELSEWHERE = OF_AN_ATTEMPT | OF_A_CLIENT
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
MATRIX = "test_isolation.py"
"""Calls every method, with what is another's; it has a row for each, and says so itself."""


@cache
def expected(path: Path) -> set[str]:
    """What the tests of a file compare with: all texts within test functions and their decorators, word by word."""
    tests = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, _FUNCTIONS)]
    return {word for test in tests if test.name.startswith("test_") for word in _words(test)}


def _words(test: ast.AST) -> list[str]:
    texts = [node.value for node in ast.walk(test) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names = [node.attr for node in ast.walk(test) if isinstance(node, ast.Attribute)]
    return [word.removeprefix("ERROR_REASON_") for text in (*texts, *names) for word in re.findall(r"\w+", text)]


@cache
def with_a_server() -> set[str]:
    """What tests with a real server compare with."""
    files = [path for kind in ("contract", "integration") for path in (TESTS / kind).rglob("test_*.py")]
    return set().union(*(expected(path) for path in files))


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason not in ELSEWHERE])
def test_every_reason_is_expected_by_a_test_with_a_server(reason: str) -> None:
    assert reason in with_a_server()


@pytest.mark.parametrize("reason", ELSEWHERE)
def test_the_others_are_expected_where_they_arise(reason: str) -> None:
    assert reason in REASONS
    assert reason in expected(TESTS / ELSEWHERE[reason])


@cache
def called() -> set[str]:
    """The methods that are called in tests with a real server, helpers included and the matrix left out."""
    files = [path for kind in ("contract", "integration") for path in (TESTS / kind).rglob("*.py")]
    text = "\n".join(path.read_text() for path in files if path.name not in {MATRIX, "fake_mesh.py"})
    return {found for found in re.findall(r"\w+", text) if found[0].isupper()}


@pytest.mark.parametrize("method", methods())
def test_every_method_is_called_by_a_test_with_a_server(method: str) -> None:
    assert method.partition("/")[2] in called()
