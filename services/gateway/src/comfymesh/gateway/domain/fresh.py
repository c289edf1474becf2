"""Prompts that were submitted just now. Lists tell what the API has read of the log so far, and may not know them yet.

A ComfyUI has a prompt in its queue or in its history from the answer to `POST /prompt` on, and clients rely on it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

_SECONDS = 5.0
_MOST = 1024


class Fresh:
    """Remembers who has submitted what within the last seconds, until a list has had it."""

    def __init__(self) -> None:
        self._since: OrderedDict[tuple[str, str], float] = OrderedDict()

    def note(self, caller: str, prompt_id: str, now: float) -> None:
        """A caller has submitted a prompt. `now` is in seconds of a clock that nobody sets."""
        self._since[caller, prompt_id] = now
        while len(self._since) > _MOST:
            self._since.popitem(last=False)

    def unlisted(self, caller: str, listed: Collection[str], now: float) -> list[str]:
        """Prompts of a caller that no list has had so far, the newest first; those in `listed` are forgotten."""
        for (whose, prompt_id), since in list(self._since.items()):
            if now - since > _SECONDS or (whose == caller and prompt_id in listed):
                del self._since[whose, prompt_id]
        return [prompt_id for whose, prompt_id in reversed(self._since) if whose == caller]
