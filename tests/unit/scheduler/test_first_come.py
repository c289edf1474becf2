"""With affinity switched off, whoever came first is served first, by any instance."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.scheduler.simulate.engine import Gpu, simulate
from comfymesh.scheduler.simulate.mesh import Mesh
from comfymesh.scheduler.simulate.trace import LoadTimes, Request
from comfymesh.tasks.policy import PolicySettings


def requests(rows: list[tuple[float, float, str, str]]) -> list[Request]:
    rows.sort()
    return [
        Request(number, arrival, run, tenant, model, (), model, 1.0)
        for number, (arrival, run, tenant, model) in enumerate(rows)
    ]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1000).map(lambda tenths: tenths / 10),
            st.floats(1, 30),
            st.sampled_from("ab"),
            st.sampled_from("xyz"),
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[0],
    ),
    st.integers(1, 3),
)
def test_tasks_begin_in_the_order_in_which_they_came(rows: list[tuple[float, float, str, str]], count: int) -> None:
    gpus = [Gpu(number) for number in range(count)]
    chosen = requests(rows)
    outcome = simulate(chosen, Mesh(gpus, chosen, PolicySettings(affinity=False)), LoadTimes([10.0], [1.0], 1))
    begun = sorted((round(run.end - run.load - run.run, 6), run.request.number) for run in outcome.runs)
    moments = {moment: [number for other, number in begun if other == moment] for moment, _ in begun}
    numbers = [number for moment in sorted(moments) for number in sorted(moments[moment])]
    assert numbers == [request.number for request in chosen]
