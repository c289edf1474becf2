"""A network goes once the engine has forgotten the endpoints of containers that are gone."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import requests
from docker.errors import APIError

from comfymesh.agent.runtimes import docker_client
from comfymesh.agent.runtimes.docker_client import remove_network


def refusal(status: int) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError("network x has active endpoints", response)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_client, "_LOOK_AGAIN_SECONDS", 0.0)


def test_it_is_removed_once_it_can_be() -> None:
    network = Mock(remove=Mock(side_effect=[refusal(403), refusal(403), None]))
    remove_network(network)
    assert network.remove.call_count == 3


def test_what_else_is_refused_is_told_at_once() -> None:
    network = Mock(remove=Mock(side_effect=refusal(500)))
    with pytest.raises(APIError):
        remove_network(network)
    assert network.remove.call_count == 1


def test_one_that_stays_in_use_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_client, "_ENDPOINT_SECONDS", 0.0)
    network = Mock(remove=Mock(side_effect=refusal(403)))
    with pytest.raises(APIError):
        remove_network(network)
