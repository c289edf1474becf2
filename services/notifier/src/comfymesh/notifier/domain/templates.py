"""Message templates: texts with `{fields}` of an alert, and no expressions, since hostile text is filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

FIELDS = frozenset(
    {
        "rule", "severity", "count", "suppressed", "value", "message", "tenant", "task", "class", "exception_type",
        "graph_node", "graph_node_class", "node", "instance", "workflow", "gpu", "role", "attempt",
    }
)  # fmt: skip
"""What a template can name. What an alert does not have is empty."""

_FIELD = re.compile(r"\{([^{}]*)\}")
_LONGEST = 512


def _checked(text: str) -> str:
    unknown = [field for field in _FIELD.findall(text) if field not in FIELDS]
    if unknown:
        raise ValueError(f"there is no field {unknown[0]!r}; there are {', '.join(sorted(FIELDS))}")
    if "{" in _FIELD.sub("", text) or "}" in _FIELD.sub("", text):
        raise ValueError("has a brace that belongs to no {field}")
    return text


Template = Annotated[str, Field(min_length=1, max_length=_LONGEST), AfterValidator(_checked)]
"""A text with fields."""


def fill(template: str, fields: Mapping[str, str]) -> str:
    """The text with its fields filled in, once: what is filled in is not looked at again."""
    return _FIELD.sub(lambda match: fields.get(match[1], ""), template)
