"""Takes secrets and callers' prompts out of texts. Pure.

It looks for what secrets look like, not for those that there are: it knows none. Each pattern takes time linear in what
it searches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

HIDDEN = "[redacted]"

_MOST_CHARACTERS = 64 * 1024
_MOST_TEXTS = 256
_SHORTEST = 4
_NAMED = (
    r"(?:pass(?:word|wd|phrase)?|secret|token|credentials?|api[_-]?key|access[_-]?key|auth(?:orization)?|signature|sig)"
)
_IS = r"[\"']?\s{0,3}[=:]\s{0,3}[\"']?"
_NOT_YET = r"(?!\[redacted\]|(?:Bearer|Basic) )"

_SECRETS = (
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,20000}(?:-----END [A-Z ]{0,30}-----)?"), HIDDEN),
    # Name and password in front of a host, or, as NATS has it, a token alone.
    (re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://)[^\s/@'\"]{1,1000}@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,4000}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,4000}\.[A-Za-z0-9_-]{5,8000}\.[A-Za-z0-9_-]{0,4000}"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (re.compile(r"\b(?:whsec_|sk-|ghp_|xox[abprs]-|cmk_)[A-Za-z0-9_/+=-]{8,500}"), HIDDEN),
    (re.compile(r"(hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)[^\s'\"]{4,500}"), rf"\1{HIDDEN}"),
    # password=..., "api_key": "...", X-Amz-Signature=...
    (re.compile(rf"((?<![a-z]){_NAMED}{_IS}){_NOT_YET}[^\s\"'&,;}}]{{1,2000}}", re.IGNORECASE), rf"\1{HIDDEN}"),
)

_STRINGS = re.compile(r'"((?:[^"\\]|\\.){4,20000})"')
_PROSE = re.compile(r"\s|[^\x00-\x7f]")

PRIVATE_FIELDS = frozenset(
    {"graph", "graph_json", "prompt", "inputs", "text", "secret", "password", "token", "api_key"}
)
"""Fields of the log whose values are not shown at all."""


def without_secrets(text: str) -> str:
    """A text without what looks like a secret; of a very long one only the beginning."""
    text = text[:_MOST_CHARACTERS]
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def without(text: str, private: Iterable[str]) -> str:
    """A text without these, in whatever way a traceback or JSON may show them. The longest first."""
    for each in sorted({form for p in private for form in _forms(p)}, key=len, reverse=True):
        text = text.replace(each, HIDDEN)
    return text


def prompts(source: str) -> list[str]:
    """What is prose in a graph, or another text with strings in JSON: what has spaces, or is not of ASCII.

    File names, classes and samplers are one word each; what somebody wants to see is not, or not in English.
    """
    found = []
    for match in _STRINGS.finditer(source):
        try:
            text = json.loads(f'"{match[1]}"')
        except ValueError:
            text = match[1]
        if _PROSE.search(text):
            found.append(text)
        if len(found) >= _MOST_TEXTS:
            break
    return found


def _forms(text: str) -> Iterable[str]:
    whole = text.strip()
    lines = [line.strip() for line in whole.splitlines()]
    forms = [whole, repr(whole)[1:-1], json.dumps(whole)[1:-1], json.dumps(whole, ensure_ascii=False)[1:-1], *lines]
    return (form for form in forms if len(form) >= _SHORTEST)
