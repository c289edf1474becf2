"""Reads the rules file. All that is wrong with it is told at once, with its line. The only module that knows YAML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from comfymesh.notifier.domain.rules import Rules, cross_check
from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError
from comfymesh.runtime.validation import said

_LARGEST = 256 * 1024

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: in which line (from 1, 0 for none), where, and what."""

    line: int
    place: str
    what: str

    def __str__(self) -> str:
        return ": ".join(part for part in (f"line {self.line}" if self.line else "", self.place, self.what) if part)


class RulesError(ServiceFailedError):
    """The rules file can't be used."""

    reason = "RULES_INVALID"
    exit_code = EXIT_CONFIGURATION

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.problems = problems
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"the alert rules in {source} can't be used:{lines}")


def read(path: Path) -> Rules:
    """The rules in a file.

    Raises:
        RulesError: it can't be read, or it is wrong.
    """
    try:
        data = path.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(str(path), [Problem(0, "", f"it can't be read: {error}")]) from error
    return parse(text, str(path))


def parse(text: str, source: str = "the text") -> Rules:
    """The rules in a text.

    Raises:
        RulesError: it is wrong.
    """
    root, content = _load(text, source)
    if twice := list(_twice(root, ())):
        raise RulesError(source, twice)
    try:
        rules = Rules.model_validate(content)
    except ValidationError as error:
        raise RulesError(source, [_problem(root, one["loc"], said(one)) for one in error.errors()]) from error
    if wrong := [_problem(root, place, what) for place, what in cross_check(rules)]:
        raise RulesError(source, wrong)
    return rules


def _load(text: str, source: str) -> tuple[yaml.Node, object]:
    """The nodes of the text, which know their lines, and what it says."""
    if len(text) > _LARGEST:
        raise RulesError(source, [Problem(0, "", f"it has {len(text)} characters, at most {_LARGEST} are allowed")])
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            # A few lines of them can stand for more than any memory holds.
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise RulesError(source, [Problem(line, "", "aliases (*name) are not allowed")])
        root, content = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except RecursionError:
        raise RulesError(source, [Problem(0, "", "it is nested too deeply")]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RulesError(source, [Problem(line, "", f"it is no YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise RulesError(source, [Problem(0, "", f"it is no YAML: {error}")]) from error
    if root is None:
        raise RulesError(source, [Problem(0, "", "it is empty")])
    return root, content


def _twice(node: yaml.Node, place: Place) -> Iterator[Problem]:
    """Keys that a mapping has twice: YAML would take the last one without a word."""
    if isinstance(node, yaml.MappingNode):
        seen = set[str]()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield Problem(key.start_mark.line + 1, _path((*place, name)), "is there twice")
            seen.add(name)
            yield from _twice(value, (*place, name))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _twice(value, (*place, index))


def _problem(root: yaml.Node, place: Place, what: str) -> Problem:
    """A problem at a place as pydantic names it: with the kinds of rules, which the file does not have as steps."""
    node, found = root, list[str | int]()
    for step in place:
        below = _below(node, step)
        if below is not None:
            node = below
            found.append(step)
    missing = place[-1:] if place and what == "Field required" else ()
    return Problem(node.start_mark.line + 1, _path((*found, *missing)), what)


def _below(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        below: yaml.Node = node.value[step]
        return below
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if str(key.value) == str(step)), None)
    return None


def _path(place: Place) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")
