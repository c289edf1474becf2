"""How far a pull is, whatever the engine says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.runtimes.docker_pull import PullProgress

MEBIBYTE = 2**20


def downloading(layer: str, current: int, total: int) -> dict[str, Any]:
    return {"id": layer, "status": "Downloading", "progressDetail": {"current": current, "total": total}}


def test_layers_are_added_up() -> None:
    progress = PullProgress()
    assert progress.feed({"status": "Pulling from library/x", "id": "latest"}) == ""
    assert progress.feed(downloading("a", 0, 100 * MEBIBYTE)) == "0 % of 100 MiB"
    assert progress.feed(downloading("b", 50 * MEBIBYTE, 100 * MEBIBYTE)) == "25 % of 200 MiB"
    assert progress.feed({"id": "a", "status": "Download complete"}) == "75 % of 200 MiB"


def test_what_has_not_changed_is_not_told_again() -> None:
    progress = PullProgress()
    progress.feed(downloading("a", MEBIBYTE, 200 * MEBIBYTE))
    assert progress.feed(downloading("a", MEBIBYTE + 1, 200 * MEBIBYTE)) == ""


def test_an_error_in_the_middle_is_kept() -> None:
    progress = PullProgress()
    assert progress.feed({"errorDetail": {"message": "no"}, "error": "write /x: no space left on device"}) == ""
    assert progress.error == "write /x: no space left on device"


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(
    st.lists(
        JSON
        | st.fixed_dictionaries({"id": JSON, "status": st.just("Downloading") | JSON, "progressDetail": JSON})
        | st.builds(downloading, st.text(), st.integers(), st.integers())
    )
)
def test_whatever_the_engine_says_can_be_taken_in(lines: list[Any]) -> None:
    progress = PullProgress()
    for line in lines:
        assert isinstance(progress.feed(line), str)
