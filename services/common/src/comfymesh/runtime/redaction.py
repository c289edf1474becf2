"""Takes secrets and callers' prompts out of texts. Pure.

It looks for what secrets look like, not for those that there are: it knows none. Each pattern takes time linear in what
it searches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

HIDDEN = "[redacted]"

_MOST_CHARACTERS = 64 * 1024
_MOST_FORMS = 1000
_SHORTEST = 4
_PHRASE = r"pass(?:word|wd|phrase)"
# The short ones end other words too: compass, config.
_NAMED = (
    rf"(?:{_PHRASE}|secret|token|credentials?|api[_-]?key|access[_-]?key|authorization|signature"
    r"|(?<![a-z])(?:pass|auth|sig))"
)
_IS = r"\\{0,3}[\"']?\s{0,3}[=:]\s{0,3}"
_NOT_YET = r"(?!\[redacted\]|(?:Bearer|Basic) )"
_BARE = rf"{_NOT_YET}(?!\\{{0,3}}[\"'])[^\s\"'&,;}}]{{1,2000}}"
_SCHEME = r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://"

_SECRETS = (
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,20000}(?:-----END [A-Z ]{0,30}-----)?"), HIDDEN),
    # Name and password in front of a host; the password may hold what should be escaped. After a port comes a path.
    (
        re.compile(rf"({_SCHEME})[^\s/:@'\"]{{0,200}}:(?!\d{{1,5}}/)(?:(?!,{_SCHEME})[^\s'\"]){{1,1000}}@"),
        rf"\1{HIDDEN}@",
    ),
    # Or, as NATS has it, a token alone.
    (re.compile(rf"({_SCHEME})[^\s/@'\"]{{1,1000}}@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,4000}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,4000}\.[A-Za-z0-9_-]{5,8000}\.[A-Za-z0-9_-]{0,4000}"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (re.compile(r"\b(?:whsec_|sk-|ghp_|xox[abprs]-|cmk_)[A-Za-z0-9_/+=-]{8,500}"), HIDDEN),
    (re.compile(r"(hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)[^\s'\"]{4,500}"), rf"\1{HIDDEN}"),
    # "api_key": "...", password='two words'; the quotes may be escaped, as JSON within JSON is.
    (re.compile(rf"({_NAMED}{_IS}(\\{{0,3}}[\"'])){_NOT_YET}(?:(?!\2).){{1,2000}}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # password: two words, up to what looks like the next field. Keys and tokens have none, and prose follows them.
    (
        re.compile(
            rf"((?:{_PHRASE}|secret){_IS}){_BARE}(?: [^\s\"'&,;}}=:]{{1,200}}(?!\S{{0,200}}[=:])){{0,20}}",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # token=..., X-Amz-Signature=...
    (re.compile(rf"({_NAMED}{_IS}){_BARE}", re.IGNORECASE), rf"\1{HIDDEN}"),
)

_QUOTE = re.compile(r'(?<!\\)"')
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


@dataclass(frozen=True, slots=True)
class Private:
    """What callers wrote, in whatever way a traceback or JSON may show it.

    Attributes:
        forms: What to look for, the longest first.
        everything: Whether it is too much to look for, so that nothing may be shown.
    """

    forms: tuple[str, ...] = ()
    everything: bool = False


NOTHING = Private()
EVERYTHING = Private(everything=True)


def private(texts: Iterable[str]) -> Private:
    """What is prose among texts: what has spaces, or is not of ASCII. Takes time linear in them.

    File names, classes and samplers are one word each; what somebody wants to see is not, or not in English.
    """
    found = set[str]()
    for text in texts:
        if _PROSE.search(text):
            found.update(islice(_forms(text), _MOST_FORMS + 1))
            if len(found) > _MOST_FORMS:
                return EVERYTHING
    return Private(tuple(sorted(found, key=len, reverse=True)))


def without(text: str, known: Private) -> str:
    """A text without what is private; of a very long one only the beginning."""
    if known.everything:
        return HIDDEN
    # What begins before the end is looked for as a whole.
    text = text[: _MOST_CHARACTERS + len(known.forms[0])] if known.forms else text
    for form in known.forms:
        text = text.replace(form, HIDDEN)
    return text[:_MOST_CHARACTERS]


def words(value: object) -> Iterator[str]:
    """Every text in a value made of lists and mappings, however deep."""
    left = [value]
    while left:
        match left.pop():
            case str(text):
                yield text
            case dict(fields):
                left += fields.values()
            case list(items):
                left += items


def words_of_json(source: str) -> Iterator[str]:
    """Every text in JSON; where it is none, what stands between quotes."""
    try:
        yield from words(json.loads(source))
    except (ValueError, RecursionError):
        yield from _QUOTE.split(source)


def _forms(text: str) -> Iterator[str]:
    whole = text.strip()
    written = (whole, repr(whole)[1:-1], json.dumps(whole)[1:-1], json.dumps(whole, ensure_ascii=False)[1:-1])
    lines = (line.strip() for line in whole.splitlines())
    return (form for form in chain(written, lines) if len(form) >= _SHORTEST)
