"""Settings of telemetry, and what becomes of those that can't be met."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from pydantic import ValidationError

from comfymesh.runtime.errors import EXIT_CONFIGURATION
from comfymesh.runtime.settings import ServiceSettings


@pytest.mark.parametrize("listen", ["", "127.0.0.1:9464", "[::1]:0"])
def test_metrics_are_shown_where_a_port_is_named(listen: str) -> None:
    assert ServiceSettings(metrics_listen=listen).metrics_listen == listen


@pytest.mark.parametrize("listen", ["9464", ":9464", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000"])
def test_what_names_no_port_is_refused(listen: str) -> None:
    with pytest.raises(ValidationError, match="host:port"):
        ServiceSettings(metrics_listen=listen)


def test_a_service_whose_metrics_have_no_port_to_be_had_ends_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-c", "from comfymesh.scheduler.main import main; main()"],
            env={"COMFYMESH_METRICS_LISTEN": place},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == EXIT_CONFIGURATION
    assert f"can't show metrics on {place}" in ended.stderr
    assert "COMFYMESH_METRICS_LISTEN" in ended.stderr
