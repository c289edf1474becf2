"""SDK and command line with callers who are known: keys, TLS, administration."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from comfymesh.cli.main import cli
from comfymesh.client import (
    AccessDenied,
    AsyncClient,
    Client,
    Conflict,
    InvalidRequest,
    LimitExceeded,
    Limits,
    NewKey,
    NotFound,
    RetryPolicy,
    Scope,
    Tls,
    Unavailable,
)
from comfymesh.client.access import Access
from comfymesh.testkit.apis import BOOTSTRAP, GRAPH, LocalApi, local_api
from comfymesh.testkit.certificates import Authority

pytestmark = pytest.mark.asyncio(loop_scope="module")


def admin(api: LocalApi) -> AsyncClient:
    return AsyncClient(api.target, api_key=BOOTSTRAP)


async def test_the_sdk_says_who_calls(api: LocalApi) -> None:
    async with AsyncClient(api.target) as nobody:
        with pytest.raises(AccessDenied) as refused:
            await nobody.nodes()
    assert refused.value.reason == "CREDENTIALS_MISSING"
    async with AsyncClient(api.target, api_key=await api.key("default", "SUBMIT", "READ")) as client:
        task = await client.create(GRAPH)
        assert (await client.get(task)).name == task.name
        with pytest.raises(AccessDenied) as refused:
            await client.create_tenant("x")
    assert refused.value.reason == "SCOPE_MISSING"
    assert refused.value.metadata["scope"] == "admin"


async def test_a_key_that_changes_is_asked_for_before_each_call(api: LocalApi) -> None:
    keys = iter([await api.key("default", "READ"), "cmk_nonsense"])
    async with AsyncClient(api.target, api_key=lambda: next(keys)) as client:
        await client.nodes()
        with pytest.raises(AccessDenied):
            await client.nodes()


async def test_streams_say_it_too(api: LocalApi) -> None:
    async with AsyncClient(api.target, api_key=await api.key("default", "READ")) as client:
        events = client.watch_tasks(include_existing=True)
        await anext(events)
        await events.aclose()
        with pytest.raises(AccessDenied):
            await client.upload(b"x")


async def test_tenants_and_keys_are_administered(api: LocalApi) -> None:
    async with admin(api) as client:
        made = await client.create_tenant("sdk", display_name="SDK", limits=Limits(max_waiting_tasks=1))
        with pytest.raises(Conflict):
            await client.create_tenant("tenants/sdk")
        limits = replace(made.limits, max_stored_bytes=10**12)
        changed = await client.update_tenant("sdk", etag=made.etag, limits=limits, node_classes=["Load", "Save"])
        assert (changed.limits, changed.node_classes, changed.display_name) == (limits, ("Load", "Save"), "SDK")
        with pytest.raises(Conflict):
            await client.update_tenant("sdk", etag=made.etag, disabled=True)
        with pytest.raises(NotFound):
            await client.tenant("absent")
        end = datetime.now(UTC) + timedelta(days=1)
        new = await client.create_key("sdk", display_name="robot", expire_time=end)
        assert new.key.scopes == (Scope.SUBMIT, Scope.READ)
        assert [key.name async for key in client.keys("sdk")] == [new.key.name]
        async with AsyncClient(api.target, api_key=new.secret) as theirs:
            await theirs.create(GRAPH)
            with pytest.raises(LimitExceeded) as full:
                await theirs.create(GRAPH)
            own = await theirs.tenant()
        assert full.value.reason == "QUOTA_EXCEEDED"
        assert full.value.retry_after == timedelta(seconds=1)
        assert full.value.violations[0].field == "tenants/sdk"
        assert own.usage is not None
        assert own.usage.waiting_tasks == 1
        rotated = await client.rotate_key(new.key.name, timedelta(hours=1))
        assert (await client.key(new.key.name)).rotated_to == rotated.key.name
        assert (await client.revoke_key(rotated.key.name)).revoke_time is not None
        assert "tenants/sdk" in [tenant.name async for tenant in client.tenants()]
        events = [event async for event in client.audit_events()]
        assert events[-1].method == "comfymesh.v1.KeyService/RevokeKey"
        assert (events[-1].actor, events[-1].outcome) == ("bootstrap", "OK")


async def test_the_client_without_asyncio_does_the_same(api: LocalApi) -> None:
    def work() -> None:
        with Client(api.target, api_key=BOOTSTRAP) as client:
            client.create_tenant("plain")
            new = client.create_key("plain", scopes=[Scope.READ])
            assert client.key(new.key.name) == new.key
            assert [key.name for key in client.keys("plain")] == [new.key.name]
            other = client.rotate_key(new.key.name)
            assert client.revoke_key(other.key.name).revoke_time is not None
            assert client.update_tenant("plain", disabled=True).disabled
            assert client.tenant("plain").disabled
            assert "tenants/plain" in [tenant.name for tenant in client.tenants()]
            assert next(client.audit_events()).outcome == "OK"

    await asyncio.to_thread(work)


async def test_no_secret_is_shown_by_accident(api: LocalApi) -> None:
    async with admin(api) as client:
        new = await client.create_key("default")
        shown = [
            repr(value) for value in (client, new, Access(BOOTSTRAP), client._transport, Access(lambda: BOOTSTRAP))
        ]
    assert not [text for text in shown if BOOTSTRAP in text or new.secret in text]
    assert isinstance(new, NewKey)


@pytest.mark.parametrize("target", ["mesh.example:7700", "10.0.0.1:7700", "dns:///mesh.example:7700", ":7700"])
async def test_a_key_does_not_go_to_another_machine_in_the_clear(target: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        AsyncClient(target, api_key="k")
    assert refused.value.reason == "KEY_IN_THE_CLEAR"
    for how in ({"tls": True}, {"allow_plaintext": True}):
        await AsyncClient(target, api_key="k", **how).close()  # type: ignore[arg-type]  # either
    await AsyncClient(target).close()


async def test_without_an_address_there_is_no_client() -> None:
    with pytest.raises(InvalidRequest) as refused:
        AsyncClient("", api_key="k")
    assert refused.value.reason == "TARGET_UNUSABLE"


@pytest.mark.parametrize("target", ["127.0.0.1:1", "localhost:1", "[::1]:1", "ipv4:127.0.0.1:1", "unix:/run/x.sock"])
async def test_on_this_machine_it_may(target: str) -> None:
    await AsyncClient(target, api_key="k").close()


async def test_the_sdk_speaks_tls_and_mtls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, own = authority.issue("server"), authority.issue("caller")
    settings = {
        "api_tls_certificate": str(pair.certificate),
        "api_tls_key": str(pair.key),
        "api_tls_client_ca": str(authority.pair.certificate),
    }
    async with local_api(tmp_path, **settings) as api:
        tls = Tls(authority.pair.certificate, own.certificate, own.key)
        async with AsyncClient(api.target, api_key=BOOTSTRAP, tls=tls) as client:
            await client.nodes()
        for bad in (Tls(authority.pair.certificate), True):
            async with AsyncClient(
                api.target, api_key=BOOTSTRAP, tls=bad, retries=RetryPolicy(connect_timeout=0.5)
            ) as client:
                with pytest.raises(Unavailable):
                    await client.nodes()
        environment = {
            "COMFYMESH_TLS_CA": str(tls.ca),
            "COMFYMESH_TLS_CERTIFICATE": str(tls.certificate),
            "COMFYMESH_TLS_KEY": str(tls.key),
        }
        assert (await command(api, "nodes", **environment)).exit_code == 0


async def command(api: LocalApi, *arguments: str, key: str = BOOTSTRAP, **environment: str) -> Result:
    """Runs the command line, with a key in the environment."""
    given = {"COMFYMESH_API_KEY": key, "COMFYMESH_TARGET": api.target, **environment}
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env=given)


async def told(api: LocalApi, *arguments: str) -> Any:
    """What a command that succeeds prints as JSON."""
    ran = await command(api, *arguments, "--json")
    assert ran.exit_code == 0, ran.output
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return lines[0] if len(lines) == 1 else lines


async def test_the_command_line_administers(api: LocalApi, tmp_path: Path) -> None:
    assert (await told(api, "tenants", "create", "cli", "--name", "CLI"))["name"] == "tenants/cli"
    limits = ["max_waiting_tasks=5", "requests_per_second=2.5"]
    changed = await told(api, "quota", "set", "cli", *limits, "--allow-class", "Load", "--allow-class", "S*")
    assert (changed["limits"]["max_waiting_tasks"], changed["limits"]["requests_per_second"]) == (5, 2.5)
    assert changed["node_classes"] == ["Load", "S*"]
    assert (await told(api, "quota", "set", "cli", "--allow-any-class"))["node_classes"] == []

    made = await told(api, "keys", "create", "cli", "--scope", "read", "--days", "1")
    assert made["key"]["scopes"] == ["READ"]
    assert (await command(api, "list", key=made["secret"])).exit_code == 0

    path = tmp_path / "robot.key"
    ran = await command(api, "keys", "create", "cli", "--out", str(path))
    assert ran.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in ran.output
    ran = await command(api, "--api-key", f"@{path}", "quota", "show", key="")
    assert "0 of 5" in ran.output
    assert (await command(api, "keys", "create", "cli", "--out", str(path))).exit_code == 2

    listed = await told(api, "keys", "list", "cli")
    assert len(listed) == 2
    rotated = await command(api, "keys", "rotate", listed[0]["name"], "--overlap-hours", "1")
    assert rotated.stdout.startswith("cmk_")
    assert "can't be shown again" in rotated.stderr
    revoked = await told(api, "keys", "revoke", listed[1]["name"])
    assert revoked["revoke_time"]
    assert (await told(api, "keys", "show", listed[1]["name"])) == revoked
    assert (await told(api, "tenants", "disable", "cli"))["disabled"]
    assert not (await told(api, "tenants", "enable", "cli"))["disabled"]
    assert "tenants/cli" in [tenant["name"] for tenant in await told(api, "tenants", "list")]
    assert (await told(api, "audit"))[-1]["method"] == "comfymesh.v1.TenantService/UpdateTenant"


@pytest.mark.parametrize(
    "arguments",
    [["keys", "list", "default"], ["tenants", "list"], ["quota", "show"], ["audit"], ["tenants", "create", "t1"]],
)
async def test_there_are_tables_for_people(api: LocalApi, arguments: list[str]) -> None:
    await api.key("default", "READ", display_name="bad \x1b[31mname")
    ran = await command(api, *arguments)
    assert ran.exit_code == 0, ran.output
    assert "\x1b[31m" not in ran.output
    assert len(ran.output.splitlines()) > 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--api-key", "cmk_secret", "nodes"], "everybody on this machine can see"),
        (["--api-key", "@/no/such/file", "nodes"], "can't read /no/such/file"),
        (["quota", "set", "default", "max=1"], "is no limit"),
        (["quota", "set", "default", "max_waiting_tasks=many"], "give a number"),
        (["quota", "set", "default"], "Say what to change"),
        (["keys", "create", "absent"], "TENANT_NOT_FOUND"),
        (["keys", "create", "default", "--out", "/no/such/folder/key"], "can't make"),
        (["keys", "revoke", "nonsense"], "INPUT_INVALID"),
    ],
)
async def test_what_is_wrong_is_told_in_a_line(api: LocalApi, arguments: list[str], says: str) -> None:
    ran = await command(api, *arguments)
    assert ran.exit_code == 2
    assert says in ran.output
    assert "Traceback" not in ran.output


async def test_a_key_for_another_machine_is_not_sent_in_the_clear(api: LocalApi) -> None:
    ran = await command(api, "--target", "10.255.255.1:7700", "nodes")
    assert ran.exit_code == 2
    assert "KEY_IN_THE_CLEAR" in ran.output
