"""Which of several servers a client asks."""

from __future__ import annotations

import pytest

from comfymesh.client import AsyncClient, InvalidRequest
from comfymesh.client.replicas import Replicas


def test_chance_decides_who_is_asked_first() -> None:
    assert [Replicas("a:1, b:2,c:3", chance).current for chance in (0.0, 0.4, 0.999)] == ["a:1", "b:2", "c:3"]


def test_the_next_one_is_asked_when_the_current_one_failed_and_the_first_after_the_last() -> None:
    replicas = Replicas("a:1,b:2", 0.0)
    replicas.leave("a:1")
    assert replicas.current == "b:2"
    replicas.leave("b:2")
    assert replicas.current == "a:1"


def test_calls_that_fail_together_leave_a_server_once() -> None:
    replicas = Replicas("a:1,b:2", 0.0)
    replicas.leave("a:1")
    replicas.leave("a:1")
    assert replicas.current == "b:2"


@pytest.mark.parametrize("target", ["", "a:1,", ",", "a:1,,b:2"])
def test_an_address_that_is_missing_is_told(target: str) -> None:
    with pytest.raises(InvalidRequest, match="lacks an address"):
        AsyncClient(target)


@pytest.mark.parametrize("target", ["http://a:1", "HTTPS://a", "grpc://a:1", "a:1,b:65536", "a:" + 5000 * "9"])
def test_an_address_that_can_not_be_one_is_told(target: str) -> None:
    with pytest.raises(InvalidRequest, match="give HOST:PORT"):
        AsyncClient(target)


@pytest.mark.parametrize("target", ["a", "a:65535", "[::1]:7700", "dns:///a:1", "unix:///run/mesh.sock", "2001:db8::7"])
def test_every_other_name_is_grpcs_to_look_up(target: str) -> None:
    assert Replicas(target, 0.0).current == target


def test_a_key_goes_to_none_of_several_in_the_clear() -> None:
    with pytest.raises(InvalidRequest, match="elsewhere:7700 unencrypted"):
        AsyncClient("127.0.0.1:7700,elsewhere:7700", api_key="secret")
