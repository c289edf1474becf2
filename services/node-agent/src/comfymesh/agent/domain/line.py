"""The prompts that wait at one ComfyUI, which works at the first of them."""

from __future__ import annotations


class Line:
    """Prompts in the order in which they were submitted, until they have ended as far as anybody knows."""

    def __init__(self) -> None:
        self._prompts: list[str] = []
        self._excused: set[str] = set()

    def __contains__(self, prompt_id: str) -> bool:
        return prompt_id in self._prompts

    def enter(self, prompt_id: str) -> None:
        """A prompt is submitted, behind all others."""
        self._prompts.append(prompt_id)

    def leave(self, prompt_id: str) -> None:
        """A prompt has ended, or was never there."""
        if prompt_id in self._prompts:
            self._prompts.remove(prompt_id)
        self._excused.discard(prompt_id)

    def lose(self, prompt_id: str) -> bool:
        """A prompt is gone without an end, and leaves the line; answers whether it was the first.

        Those behind it, which will be found to be lost as well, had no part in that: none of them becomes the first.
        """
        first = self._prompts[:1] == [prompt_id] and prompt_id not in self._excused
        if first:
            self._excused |= set(self._prompts)
        self.leave(prompt_id)
        return first
