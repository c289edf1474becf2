from __future__ import annotations

from benchmarks import graphs, idlegap


def test_gaps_are_from_an_end_to_the_next_beginning_whatever_the_order() -> None:
    assert idlegap.gaps([(30, 40), (0, 10), (12, 30)]) == [2.0, 0.0]
    assert idlegap.gaps([(0, 10)]) == []


def test_an_instance_is_busy_while_it_executes() -> None:
    assert idlegap.busy([(0, 10), (30, 40)]) == 0.5
    assert idlegap.busy([(0, 10), (10, 20)]) == 1.0


def test_a_graph_that_works_longer_has_more_to_do_and_ends_in_its_picture() -> None:
    short, long = graphs.working(0.05), graphs.working(0.2)
    assert len(short) < len(long)
    assert long["2"]["inputs"]["images"][0] in long
