"""A misspelt option is refused, as a misspelt argument is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from comfymesh.client import AsyncClient, convert, dead_letters, requests

TAKERS: dict[str, Callable[[Any], object]] = {
    "priority": lambda given: convert.task_to_proto("{}", {}, given),
    "states": lambda given: requests.list_tasks(given, 0),
    "reasons": dead_letters.filter_to_proto,
}


@pytest.mark.parametrize("there", TAKERS)
def test_an_option_that_means_nothing_is_refused_with_what_there_is(there: str) -> None:
    with pytest.raises(TypeError, match=f"no option '{there[:-1]}'; there are .*{there}"):
        TAKERS[there]({there[:-1]: 1})


@pytest.mark.parametrize("there", TAKERS)
def test_none_need_be_given(there: str) -> None:
    TAKERS[there]({})


@pytest.mark.parametrize(
    ("method", "wrong"),
    [("create_key", "expiry"), ("create_key", "scope"), ("create_tenant", "limit"), ("update_tenant", "disable")],
)
async def test_no_key_and_no_tenant_is_made_wider_by_a_misspelt_option(method: str, wrong: str) -> None:
    client = AsyncClient("127.0.0.1:1")
    with pytest.raises(TypeError, match=f"no option '{wrong}'"):
        await getattr(client, method)("default", **{wrong: None})
