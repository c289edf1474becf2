"""The line of waiting tasks knows every place, whoever comes and goes."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.api import line
from comfymesh.api.line import Line, Turn

turns = st.tuples(st.integers(-2, 2), st.integers(0, 9).map(float))


@given(st.lists(st.tuples(turns, st.booleans())), turns)
def test_the_line_counts_what_a_sorted_list_would(steps: list[tuple[Turn, bool]], asked: Turn) -> None:
    waiting, seen = list[Turn](), Line()
    with patch.object(line, "_BLOCK", 2):
        for turn, comes in steps:
            if comes:
                waiting.append(turn)
                seen.add(turn)
            elif turn in waiting:
                waiting.remove(turn)
                seen.remove(turn)
            assert seen.before(asked) == sum(other < asked for other in waiting)
