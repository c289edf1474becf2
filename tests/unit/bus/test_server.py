"""Which servers are trusted with the log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from comfymesh.bus.server import (
    KNOWN_BAD,
    MINIMUM,
    BusUnusableError,
    Server,
    check_version,
    describe_sync,
    parse_version,
    sync_seconds,
)
from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError

ROOT = Path(__file__).parents[3]


def refusal(version: str, cluster: str = "") -> str:
    with pytest.raises(BusUnusableError) as refused:
        check_version(Server(name="n1", version=version, cluster=cluster))
    assert isinstance(refused.value, ServiceFailedError)
    assert refused.value.exit_code == EXIT_CONFIGURATION
    assert version in str(refused.value)
    assert "upgrade" in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize(
    ("text", "version"),
    [("2.15.1", (2, 15, 1)), ("v2.12.0-RC.3", (2, 12, 0)), ("2.11", None), ("", None), ("dev", None)],
)
def test_versions_are_read_up_to_their_third_number(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("version", ["2.9.10", "2.10.22", "2.10.29", "1.4.1"])
def test_what_lacks_something_that_we_need_is_refused(version: str) -> None:
    assert refusal(version) == "SERVER_TOO_OLD"


@pytest.mark.parametrize("version", ["2.12.7", "2.12.8", "2.12.9", "2.12.9-RC.2"])
def test_what_is_known_to_lose_messages_is_refused(version: str) -> None:
    assert refusal(version) == "SERVER_KNOWN_BAD"


@pytest.mark.parametrize("version", ["2.11.0", "2.11.11", "2.12.1"])
def test_what_is_known_to_lose_messages_when_it_replicates_is_refused_in_a_cluster_only(version: str) -> None:
    assert refusal(version, cluster="c") == "SERVER_KNOWN_BAD"
    check_version(Server(version=version))


@pytest.mark.parametrize("version", ["2.11.12", "2.12.3", "2.12.6", "2.12.10", "2.14.0", "2.15.1", "3.0.0", "unknown"])
def test_others_are_taken(version: str) -> None:
    check_version(Server(version=version))
    check_version(Server(version=version, cluster="c"))


def test_the_table_has_no_entry_that_means_nothing() -> None:
    assert all(MINIMUM <= bad.first < bad.fixed and bad.reason for bad in KNOWN_BAD)


@pytest.mark.parametrize(
    ("varz", "seconds", "told"),
    [
        ({"jetstream": {"config": {"sync_always": True, "sync_interval": 120_000_000_000}}}, 0.0, "always"),
        ({"jetstream": {"config": {"sync_interval": 120_000_000_000}}}, 120.0, "every 120 s"),
        ({"jetstream": {"config": {}}}, None, "unknown"),
        ({"jetstream": {}}, None, "unknown"),
        ({}, None, "unknown"),
    ],
)
def test_the_sync_setting_is_read_from_what_the_monitoring_port_tells(
    varz: dict[str, Any], seconds: float | None, told: str
) -> None:
    assert sync_seconds(varz) == seconds
    assert describe_sync(seconds) == told


def test_every_configuration_that_we_ship_syncs_before_it_confirms() -> None:
    """Wherever a server keeps streams. A line that is commented out does not count."""
    ours = [path for folder in ("deploy", "devtools") for path in (ROOT / folder).rglob("*.conf")]
    keeping = {path.name: path.read_text() for path in ours if re.search(r"(?m)^\s*jetstream\s*\{", path.read_text())}
    assert set(keeping) == {"single.conf", "cluster.conf", "nats.conf"}
    assert all(re.search(r"(?m)^\s*sync_interval: always$", text) for text in keeping.values())
