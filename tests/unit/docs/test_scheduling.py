"""The page on scheduling names the defaults that hold."""

from __future__ import annotations

import re
from pathlib import Path

from comfymesh.scheduler.domain.spreading import FARTHEST, LASTING
from comfymesh.scheduler.domain.tenants import SPARSE
from comfymesh.tasks.policy import PolicySettings, scalars

PAGE = (Path(__file__).parents[3] / "docs" / "scheduling.md").read_text()


def test_the_table_of_constants_has_every_number_that_can_be_set_and_those_of_the_policy() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([0-9.]+) \|", PAGE, re.MULTILINE)
    settings = ((declared.name, getattr(PolicySettings(), declared.name)) for declared in scalars(PolicySettings))
    numbers = {name: float(value) for name, value in settings if not isinstance(value, bool)}
    constants = {"FARTHEST": FARTHEST, "LASTING": LASTING, "SPARSE": SPARSE}
    assert {name: float(value) for name, value in rows} == numbers | constants
