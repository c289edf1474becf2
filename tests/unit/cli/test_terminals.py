from __future__ import annotations

import pytest

from comfymesh.cli.terminals import AUTO, MODES, NONE, Graphics, choose

PLAIN = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


def chosen(
    environment: dict[str, str], *, mode: str = AUTO, colours: str | None = "truecolor", sixel: bool = False
) -> tuple[Graphics | None, int]:
    """The choice, and how often the terminal was asked."""
    asked = []

    def ask() -> bool:
        asked.append(1)
        return sixel

    return choose(mode, environment, colours, ask), len(asked)


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, Graphics.KITTY),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Graphics.ITERM),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Graphics.ITERM),
        ({"TERM": "foot"}, Graphics.SIXEL),
        # Another terminal that was started from one of kitty's.
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm", "KITTY_WINDOW_ID": "1"}, Graphics.ITERM),
        # By ssh come TERM, and LC_TERMINAL of iTerm2.
        ({"TERM": "xterm-kitty", "SSH_TTY": "/dev/pts/1"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2", "SSH_CONNECTION": "a b"}, Graphics.ITERM),
    ],
)
def test_what_the_environment_tells_is_not_asked(environment: dict[str, str], way: Graphics) -> None:
    assert chosen(environment, sixel=True) == (way, 0)


@pytest.mark.parametrize(("sixel", "way"), [(True, Graphics.SIXEL), (False, Graphics.BLOCKS)])
def test_a_terminal_that_says_too_little_is_asked_once(*, sixel: bool, way: Graphics) -> None:
    assert chosen(PLAIN, sixel=sixel) == (way, 1)
    assert chosen(PLAIN | {"TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, sixel=sixel) == (way, 1)


@pytest.mark.parametrize(
    "between",
    [
        {"TMUX": "/tmp/tmux-0/default,1,0", "TERM_PROGRAM": "tmux", "TERM": "tmux-256color"},
        {"TMUX": "x", "TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"},
        {"STY": "1.pts", "TERM": "screen.xterm-256color"},
        {"TERM": "screen-256color", "SSH_TTY": "/dev/pts/1"},
        {"ZELLIJ": "0", "TERM_PROGRAM": "iTerm.app"},
    ],
)
def test_what_passes_on_characters_alone_gets_blocks_and_no_question(between: dict[str, str]) -> None:
    assert chosen(PLAIN | between, sixel=True) == (Graphics.BLOCKS, 0)


def test_far_away_nobody_is_asked() -> None:
    assert chosen(PLAIN | {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, sixel=True) == (Graphics.BLOCKS, 0)


@pytest.mark.parametrize("colours", [None, "standard"])
def test_without_colours_there_is_no_preview(colours: str | None) -> None:
    assert chosen({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, colours=colours, sixel=True) == (None, 0)
    assert chosen({"TERM": "xterm-kitty", "NO_COLOR": "1"}, sixel=True) == (None, 0)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != AUTO])
def test_what_is_asked_for_is_taken(mode: str) -> None:
    expected = None if mode == NONE else Graphics(mode)
    assert chosen({"TMUX": "x"}, mode=mode, colours=None, sixel=True) == (expected, 0)
