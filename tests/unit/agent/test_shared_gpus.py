"""GPUs that several pools name: who is started where, who makes room, and which settings are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from comfymesh.agent.care import gpu_of
from comfymesh.agent.domain.pool_values import Demand, Member, Memory, Phase, Pool
from comfymesh.agent.domain.pools import Decision, Start, Stop, decide
from comfymesh.agent.runtimes.specs import ProcessSpec
from comfymesh.agent.settings import AgentSettings

ONE, TWO = "GPU-1", "GPU-2"
WAITS = Demand(1, 10.0, 5.0, served=False)


def member(name: str, gpu: str, phase: Phase = Phase.STOPPED, since: float = 0.0) -> Member:
    return Member(name, name.partition("-")[0], phase, since=since, gpu=gpu)


def decided(members: list[Member], *, shared: tuple[str, ...] = (), **waits: Demand) -> list[Decision]:
    pools = [Pool(name, 0, 2, shared=name in shared) for name in ("p", "q")]
    told = {"p": Demand(), "q": Demand(), **waits}
    return decide(pools, members, told, Memory(), 100.0)


def test_a_free_gpu_comes_first_whatever_the_order() -> None:
    members = [member("p-0", ONE, Phase.SERVING, 99.0), member("q-0", ONE), member("q-1", TWO)]
    for shared in ((), ("p", "q")):
        (start,) = decided(members, shared=shared, q=WAITS)
        assert isinstance(start, Start)
        assert start.name == "q-1"


def test_a_gpu_is_shared_only_if_both_allow_it() -> None:
    members = [member("p-0", ONE, Phase.SERVING, 99.0), member("q-0", ONE)]
    assert decided(members, q=WAITS) == decided(members, shared=("q",), q=WAITS) == []
    assert [type(decision) for decision in decided(members, shared=("p", "q"), q=WAITS)] == [Start]


def test_what_is_idle_makes_room_for_a_pool_that_could_start_nowhere_else_and_what_is_busy_does_not() -> None:
    idle = member("p-0", ONE, Phase.SERVING, 50.0)
    (stop,) = decided([idle, member("q-0", ONE)], q=WAITS)
    assert isinstance(stop, Stop)
    assert (stop.name, stop.reason) == ("p-0", "pool q needs its GPU")
    assert stop.rest > 0
    busy = Member("p-0", "p", Phase.SERVING, busy=True, gpu=ONE)
    assert decided([busy, member("q-0", ONE)], q=WAITS) == []
    (start,) = decided([idle, member("q-0", ONE), member("q-1", TWO)], q=WAITS)
    assert isinstance(start, Start)


def pool(name: str, *gpus: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "instance": {"runtime": "docker", "image": "comfyui"}, "gpus": gpus, **fields}


ALWAYS = {"name": "one", "runtime": "docker", "image": "comfyui", "gpu_uuid": ONE}


@pytest.mark.parametrize(
    ("instances", "pools", "said"),
    [
        ([ALWAYS], [pool("p", ONE, min=0)], f"pool p can never use {ONE}: instance one always runs there"),
        ([ALWAYS], [pool("p", ONE, min=0, shared=True)], ""),
        ([], [pool("p", ONE), pool("q", ONE, min=0)], f"pools p and q both name {ONE}"),
        ([], [pool("p", ONE), pool("q", ONE, min=0, shared=True)], f"pools p and q both name {ONE}"),
        ([], [pool("p", ONE, shared=True), pool("q", ONE, shared=True)], ""),
        ([], [pool("p", ONE, min=0), pool("q", ONE, min=0)], ""),
        ([], [pool("p", ONE, TWO, min=1), pool("q", TWO, min=1)], ""),
        ([], [pool("p", ONE, TWO, min=2), pool("q", TWO, min=0)], f"pools p and q both name {TWO}"),
        ([], [pool("p", ONE), pool("q", TWO)], ""),
    ],
)
def test_settings_by_which_somebody_could_never_run_are_refused(
    instances: list[dict[str, Any]], pools: list[dict[str, Any]], said: str
) -> None:
    settings = {"agent_node": "a", "agent_instances": instances, "agent_pools": pools}
    if not said:
        AgentSettings.model_validate(settings)
        return
    with pytest.raises(ValidationError, match=said):
        AgentSettings.model_validate(settings)


def test_the_gpu_of_a_process_is_known() -> None:
    def of(visible: str) -> str | None:
        return gpu_of(ProcessSpec(name="a", command=("comfyui",), environment={"CUDA_VISIBLE_DEVICES": visible}))

    assert of(ONE) == ONE
    assert of("0") is of(f"{ONE},{TWO}") is of("") is None
