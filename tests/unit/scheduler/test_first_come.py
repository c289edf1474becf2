"""With affinity switched off, whoever came first is served first, by any instance."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.scheduler.simulate.baselines import Fifo
from comfymesh.scheduler.simulate.engine import Gpu, Policy, simulate
from comfymesh.scheduler.simulate.mesh import Mesh
from comfymesh.scheduler.simulate.trace import LoadTimes, Request
from comfymesh.tasks.policy import PolicySettings


def requests(rows: list[tuple[float, float, str, str]]) -> list[Request]:
    rows.sort()
    return [
        Request(number, arrival, run, tenant, model, (), model, 1.0)
        for number, (arrival, run, tenant, model) in enumerate(rows)
    ]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 1000).map(lambda tenths: tenths / 10),
        st.floats(1, 30),
        st.sampled_from("ab"),
        st.sampled_from("xyz"),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[0],
)


@settings(max_examples=30)
@given(ROWS, st.integers(1, 3))
def test_tasks_begin_in_the_order_in_which_they_came(rows: list[tuple[float, float, str, str]], count: int) -> None:
    gpus = [Gpu(number) for number in range(count)]
    chosen = requests(rows)
    outcome = simulate(chosen, Mesh(gpus, chosen, PolicySettings(affinity=False)), LoadTimes([10.0], [1.0], 1))
    begun = sorted((round(run.end - run.load - run.run, 6), run.request.number) for run in outcome.runs)
    moments = {moment: [number for other, number in begun if other == moment] for moment, _ in begun}
    numbers = [number for moment in sorted(moments) for number in sorted(moments[moment])]
    assert numbers == [request.number for request in chosen]


def ends(chosen: list[Request], policy: Policy) -> dict[int, float]:
    outcome = simulate(chosen, policy, LoadTimes([0.0], [0.0], 1))
    return {run.request.number: round(run.end, 6) for run in outcome.runs}


@settings(max_examples=50)
@given(ROWS, st.integers(1, 3))
def test_where_loads_take_no_time_each_task_ends_when_it_would_under_fifo(
    rows: list[tuple[float, float, str, str]], count: int
) -> None:
    chosen = requests(rows)
    mesh = Mesh([Gpu(number) for number in range(count)], chosen, PolicySettings(affinity=False))
    assert ends(chosen, mesh) == ends(chosen, Fifo([Gpu(number) for number in range(count)]))
