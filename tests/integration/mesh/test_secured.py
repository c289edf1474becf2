"""docs/security.md as it stands, with real processes: from a bootstrap key to a robot's, over TLS on both lines."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from comfymesh.stack.mesh import free_port, module
from comfymesh.testkit.certificates import Authority
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.waiting import until

_NATS = """
listen: $NATS_LISTEN
http: $NATS_MONITOR
max_payload: 2MB
jetstream {{ store_dir: $NATS_STORE, sync_interval: always }}
tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca}", verify: true }}
"""


@dataclass(frozen=True, slots=True)
class Secured:
    """An api whose lines are all encrypted: its address, its settings, and who signs."""

    target: str
    settings: Mapping[str, str]
    ca: Path
    directory: Path

    async def start(self, **more: str) -> asyncio.subprocess.Process:
        """Start it."""
        return await asyncio.create_subprocess_exec(
            *module("comfymesh.api.main"), env={**os.environ, **self.settings, **more}, stderr=asyncio.subprocess.PIPE
        )

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run the command line; answers exit code and output."""
        ran = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comfymesh.cli", *arguments),
            env={**os.environ, "COMFYMESH_TARGET": self.target, "COMFYMESH_TLS_CA": str(self.ca)},
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await ran.communicate()
        return ran.returncode or 0, output.decode()


@pytest_asyncio.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    authority = Authority(tmp_path)
    nats_pair, server, own = authority.issue("nats"), authority.issue("server"), authority.issue("api")
    configuration = tmp_path / "nats.conf"
    ca = authority.pair.certificate
    configuration.write_text(_NATS.format(certificate=nats_pair.certificate, key=nats_pair.key, ca=ca))
    (tmp_path / "bootstrap.key").write_text(f"{secrets.token_hex(32)}\n")
    port = free_port()
    async with NatsServer(tmp_path, configuration) as nats:
        settings = {
            "COMFYMESH_NATS_URL": nats.url,
            "COMFYMESH_NATS_TLS_CA": str(ca),
            "COMFYMESH_NATS_TLS_CERTIFICATE": str(own.certificate),
            "COMFYMESH_NATS_TLS_KEY": str(own.key),
            "COMFYMESH_API_LISTEN": f"0.0.0.0:{port}",
            "COMFYMESH_API_TLS_CERTIFICATE": str(server.certificate),
            "COMFYMESH_API_TLS_KEY": str(server.key),
        }
        yield Secured(f"localhost:{port}", settings, ca, tmp_path)


async def test_from_nothing_to_a_guarded_api(secured: Secured) -> None:
    bootstrap = str(secured.directory / "bootstrap.key")
    api = await secured.start(COMFYMESH_API_BOOTSTRAP_KEY_FILE=bootstrap)
    try:
        made = ["keys", "create", "default", "--scope", "admin", "--scope", "read", "--out", "admin.key"]
        await succeeds(secured, "@bootstrap.key", *made)
        await succeeds(secured, "@admin.key", "tenants", "create", "lab")
        await succeeds(secured, "@admin.key", "keys", "create", "lab", "--days", "90", "--out", "robot.key")
        await succeeds(secured, "@robot.key", "list")
    finally:
        api.kill()
        await api.communicate()

    api = await secured.start()
    try:
        await succeeds(secured, "@robot.key", "list")
        code, said = await secured.command("--api-key", "@bootstrap.key", "list")
        assert (code, "CREDENTIALS_INVALID" in said) == (2, True)
        code, said = await secured.command("--api-key", "@robot.key", "audit")
        assert (code, "SCOPE_MISSING" in said) == (2, True)
    finally:
        api.kill()
        await api.communicate()


async def succeeds(secured: Secured, key: str, *arguments: str) -> None:
    """A command does what it should, once the api is there."""

    async def done() -> bool:
        code, said = await secured.command("--api-key", key, *arguments)
        assert code in {0, 4}, said
        return code == 0

    await until(done, " ".join(arguments))


async def test_settings_that_are_not_safe_end_the_api_with_what_to_do(secured: Secured) -> None:
    api = await secured.start(COMFYMESH_API_AUTH="open")
    _, said = await api.communicate()
    assert api.returncode == 78
    assert b"COMFYMESH_API_ALLOW_OPEN" in said
    assert b"Traceback" not in said
