"""The file of the agent's settings, read as systemd reads it (systemd.exec(5), EnvironmentFile=). Pure."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPE = re.compile(r"\\(.)")


class SettingsFileError(ValueError):
    """A line is no setting; the message names it."""


def parse(text: str) -> dict[str, str]:
    """The variables in a file of NAME=VALUE lines.

    A value in single quotes stands for itself; in double quotes, and without any, a backslash takes the next character
    for itself. Quotes inside of a value that does not begin with one are part of it, so JSON needs none around it.

    Raises:
        SettingsFileError: a line is neither a setting, nor a comment, nor empty.
    """
    return dict(_setting(number, line) for number, line in enumerate(_lines(text), 1) if _counts(line))


def _lines(text: str) -> list[str]:
    """Lines, where one that ends with a backslash goes on in the next."""
    return re.sub(r"\\\n", "", text).splitlines()


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(("#", ";"))


def _setting(number: int, line: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals or not _NAME.fullmatch(name.strip()):
        # Not the line itself: it may be half of a secret.
        raise SettingsFileError(f"line {number} is not of the form NAME=VALUE")
    return name.strip(), _value(value.strip())


def _value(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return _ESCAPE.sub(r"\1", text)
