"""Which pictures a terminal shows, told by its environment. Pure: variables go in, a choice comes out."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Graphics(StrEnum):
    """A way to show a picture in a terminal.

    Attributes:
        KITTY: The graphics protocol of kitty (sw.kovidgoyal.net/kitty/graphics-protocol).
        ITERM: Inline images of iTerm2 (iterm2.com/documentation-images.html).
        SIXEL: Sixel, as of DEC's VT340.
        BLOCKS: Half-block characters, two pixels each.
    """

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    BLOCKS = "blocks"


AUTO = "auto"
NONE = "none"
MODES = (AUTO, *(graphics.value for graphics in Graphics), NONE)
"""What `--preview` takes."""

_PROGRAMS = {
    "kitty": Graphics.KITTY,
    "ghostty": Graphics.KITTY,
    "iTerm.app": Graphics.ITERM,
    "WezTerm": Graphics.ITERM,
    "mintty": Graphics.ITERM,
    "rio": Graphics.ITERM,
}
"""By `TERM_PROGRAM`. VS Code and Hyper are asked instead: whether they show pictures is a setting of theirs."""
_TERMS = {
    "xterm-kitty": Graphics.KITTY,
    "xterm-ghostty": Graphics.KITTY,
    "foot": Graphics.SIXEL,
    "foot-extra": Graphics.SIXEL,
    "mlterm": Graphics.SIXEL,
    "yaft-256color": Graphics.SIXEL,
}


def choose(
    mode: str, environment: Mapping[str, str], colours: str | None, ask_for_sixel: Callable[[], bool]
) -> Graphics | None:
    """How previews are shown, or None for not at all.

    Args:
        mode: One of `MODES`.
        environment: The process's.
        colours: What Rich found out: `truecolor`, `256`, `standard`, or None for none.
        ask_for_sixel: Asks the terminal. It is asked where the environment doesn't know, and the answer can't be late.
    """
    if mode != AUTO:
        return None if mode == NONE else Graphics(mode)
    if colours not in {"truecolor", "256"} or environment.get("NO_COLOR"):
        return None
    if multiplexed(environment):
        return Graphics.BLOCKS
    known = by_environment(environment)
    if known is None and answers_soon(environment) and ask_for_sixel():
        return Graphics.SIXEL
    return known or Graphics.BLOCKS


def by_environment(environment: Mapping[str, str]) -> Graphics | None:
    """The way that the terminal is known for, or None where it says too little about itself."""
    # ssh hands on TERM, and LC_TERMINAL for iTerm2; a shell that changes TERM keeps the others.
    term = environment.get("TERM", "")
    program = environment.get("TERM_PROGRAM") or environment.get("LC_TERMINAL", "").replace("iTerm2", "iTerm.app")
    if program in _PROGRAMS:
        return _PROGRAMS[program]
    if term in _TERMS:
        return _TERMS[term]
    return Graphics.KITTY if environment.get("KITTY_WINDOW_ID") and not program else None


def multiplexed(environment: Mapping[str, str]) -> bool:
    """Whether tmux or screen stands between: they keep a screen of characters, and no pictures."""
    inside = environment.get("TMUX") or environment.get("STY") or environment.get("ZELLIJ")
    return bool(inside) or environment.get("TERM", "").startswith(("tmux", "screen"))


def answers_soon(environment: Mapping[str, str]) -> bool:
    """Whether a question is answered while one waits: an answer that comes later looks as if it had been typed."""
    return not (environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))
