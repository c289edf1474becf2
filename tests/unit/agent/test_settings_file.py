"""The settings file, as systemd reads it (systemd.exec(5), EnvironmentFile=)."""

from __future__ import annotations

import pytest

from comfymesh.agent.settings_file import SettingsFileError, parse


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=one two", "one two"),
        ("A=  one  ", "one"),
        ('A="one  two "', "one  two "),
        ("A='one \\ two'", "one \\ two"),
        ('A="one \\" two"', 'one " two'),
        ('A=[{"name": "gpu0"}]', '[{"name": "gpu0"}]'),
        ("A=one=two", "one=two"),
        ("A=", ""),
        ("A=one \\\ntwo", "one two"),
        ("A=one # two", "one # two"),
    ],
)
def test_a_value_is_read_as_systemd_reads_it(line: str, value: str) -> None:
    assert parse(line) == {"A": value}


def test_comments_and_empty_lines_are_none() -> None:
    assert parse("# A=1\n; A=2\n\n  \nB=3\n") == {"B": "3"}


@pytest.mark.parametrize("line", ["secret", "=secret", "1A=secret", "export A=secret"])
def test_any_other_line_is_refused_by_its_number_and_not_shown(line: str) -> None:
    with pytest.raises(SettingsFileError, match="line 2") as refused:
        parse(f"A=1\n{line}\n")
    assert "secret" not in str(refused.value)
