from __future__ import annotations

from benchmarks import graphs


def test_no_two_pictures_share_a_color_or_a_folder() -> None:
    pictures = [graphs.picture() for _ in range(1000)]
    assert len({picture["1"]["inputs"]["color"] for picture in pictures}) == 1000
    assert len({picture["2"]["inputs"]["filename_prefix"].rpartition("/")[0] for picture in pictures}) == 1000


def test_a_graph_that_costs_nothing_is_the_same_each_time() -> None:
    assert graphs.nothing() == graphs.nothing()
