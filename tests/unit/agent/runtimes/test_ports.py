from __future__ import annotations

import pytest

from comfymesh.agent.runtimes import ports


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Ports that are in use, of a host where nothing else is."""
    in_use: set[int] = set()
    monkeypatch.setattr(ports, "is_free", lambda port: port not in in_use)
    return in_use


def test_the_same_seed_prefers_the_same_port(in_use: set[int]) -> None:
    assert ports.choose("node/one", set()) == ports.choose("node/one", set())


def test_a_port_in_use_is_passed_over(in_use: set[int]) -> None:
    first = ports.choose("node/one", set())
    assert first is not None
    in_use.add(first)
    second = ports.choose("node/one", set())
    assert second not in {None, first}


def test_a_port_given_to_a_sibling_is_passed_over_though_it_is_not_open_yet(in_use: set[int]) -> None:
    first = ports.choose("node/one", set())
    assert first is not None
    assert ports.choose("node/one", {first}) not in {None, first}


def test_there_is_none_when_all_are_in_use(in_use: set[int]) -> None:
    assert ports.choose("node/one", range(ports.FIRST, ports.FIRST + ports.COUNT)) is None


def test_every_choice_lies_below_the_ports_of_outgoing_connections(in_use: set[int]) -> None:
    chosen = [ports.choose(f"node/{number}", set()) for number in range(200)]
    assert all(port is not None and ports.FIRST <= port < 32_768 for port in chosen)
