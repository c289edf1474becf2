from __future__ import annotations

from benchmarks import graphs, idlegap
from benchmarks.idlegap import Span


def test_gaps_are_from_an_end_to_the_next_beginning_whatever_the_order() -> None:
    assert idlegap.gaps([_span(3, 30, 40), _span(1, 0, 10), _span(2, 12, 30)]) == [2.0, 0.0]
    assert idlegap.gaps([_span(1, 0, 10)]) == []


def test_a_prompt_that_was_removed_before_it_was_seen_makes_no_gap() -> None:
    seen = [_span(1, 0, 10), _span(2, 12, 30), _span(4, 50, 60), _span(5, 60, 70)]
    assert idlegap.gaps(seen) == [2.0, 0.0]
    assert idlegap.busy(seen) == 28 / 30


def test_an_instance_is_busy_while_it_executes() -> None:
    assert idlegap.busy([_span(1, 0, 10), _span(2, 20, 30)]) == 0.5
    assert idlegap.busy([_span(1, 0, 10), _span(2, 10, 20)]) == 1.0


def test_a_line_has_run_dry_where_the_next_comes_after_the_end() -> None:
    assert idlegap.dry([_span(1, 0, 10), _span(2, 20, 30, came=15), _span(3, 30, 40, came=15)]) == 0.5


def test_what_waits_when_one_begins_is_counted() -> None:
    seen = [_span(1, 0, 10), _span(2, 10, 20, came=5), _span(3, 20, 30, came=10), _span(4, 30, 40, came=25)]
    assert idlegap.ahead(seen) == 1 / 4


def _span(number: int, begin: int, end: int, came: int = 0) -> Span:
    return Span(number, begin, end, came)


def test_a_graph_that_works_longer_has_more_to_do_and_ends_in_its_picture() -> None:
    short, long = graphs.working(0.05), graphs.working(0.2)
    assert len(short) < len(long)
    assert long["2"]["inputs"]["images"][0] in long
