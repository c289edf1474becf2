"""Who is let in, to what, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from comfymesh.api.access.gate import KEY_PREFIX
from comfymesh.bus import subjects
from comfymesh.testkit.apis import BOOTSTRAP, Bus, LocalApi, Refused, local_api
from comfymesh.testkit.waiting import until
from comfymesh.v1 import key_service_pb2, task_service_pb2, task_service_pb2_grpc, tenant_pb2, tenant_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = ("TaskService/ListTasks", task_service_pb2.ListTasksRequest())
WATCH = task_service_pb2.WatchTasksRequest(include_existing=True)


async def refused(api: LocalApi, secret: str, call: tuple[str, Any] = LIST) -> Refused:
    with pytest.raises(Refused) as told:
        await api.call(*call, secret)
    return told.value


def in_(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(round((time.time() + seconds) * 1000))
    return stamp


@pytest.mark.parametrize(
    ("header", "code", "reason"),
    [
        ("", "UNAUTHENTICATED", "CREDENTIALS_MISSING"),
        ("Bearer", "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        ("Bearer  ", "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        ("Basic dTpw", "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        ("Bearer nonsense", "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        (f"Bearer {KEY_PREFIX}k1_guess", "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        (f"Bearer {'x' * 7000}", "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
    ],
)
async def test_a_caller_who_is_nobody_is_told_what_to_send(api: LocalApi, header: str, code: str, reason: str) -> None:
    with pytest.raises(Refused) as told:
        await api.raw(*LIST, (("authorization", header),) if header else ())
    assert (told.value.code, told.value.reason) == (code, reason)
    assert "authorization: Bearer" in told.value.message


async def test_the_scheme_is_read_as_http_has_it(api: LocalApi) -> None:
    await api.raw(*LIST, (("authorization", f"bearer {BOOTSTRAP}"),))


async def test_health_and_reflection_need_no_credentials(api: LocalApi) -> None:
    answer = await health_pb2_grpc.HealthStub(api.channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert "comfymesh.v1.TaskService" in [each.name for each in (await reflect(api, list_services="")).service]


async def reflect(api: LocalApi, **asked: str) -> Any:
    """What reflection answers to one question."""
    stub = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    (answer,) = [each async for each in stub.ServerReflectionInfo(iter([ServerReflectionRequest(**asked)]))]
    return getattr(answer, str(answer.WhichOneof("message_response")))


@pytest.mark.parametrize("symbol", ["Task", "TaskService", "TaskService.GetTask", "Task.State"])
async def test_reflection_knows_every_symbol_of_the_contract(api: LocalApi, symbol: str) -> None:
    """`describe` of grpcurl names a method, as its `list` shows it."""
    found = await reflect(api, file_containing_symbol=f"comfymesh.v1.{symbol}")
    file = FileDescriptorProto.FromString(found.file_descriptor_proto[0])
    kind = "task_service" if symbol.startswith("TaskService") else "task"
    assert file.name == f"comfymesh/v1/{kind}.proto"


@pytest.mark.parametrize("symbol", ["comfymesh.v1.TaskService.NoMethod", "comfymesh.v1.Nothing", "x", "", "."])
async def test_reflection_says_of_what_there_is_not_that_it_is_not_found(api: LocalApi, symbol: str) -> None:
    assert (await reflect(api, file_containing_symbol=symbol)).error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_scope_allows_its_methods_and_no_others(api: LocalApi) -> None:
    secret = await api.tenant("scopes", "READ")
    await api.call(*LIST, secret)
    told = await refused(api, secret, ("TaskService/CreateTask", task_service_pb2.CreateTaskRequest()))
    assert (told.code, told.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert told.metadata == {"scope": "submit", "method": "comfymesh.v1.TaskService/CreateTask"}


async def test_a_key_that_has_expired_is_none(api: LocalApi) -> None:
    end, made = await short_lived(api)

    async def ended() -> Refused | None:
        try:
            await api.call(*LIST, made.secret)
        except Refused as told:
            return told
        return None

    assert (await until(ended)).metadata == {"problem": "the key has expired"}
    assert in_(0.0).ToNanoseconds() >= end.ToNanoseconds(), "it was good until then"


async def short_lived(api: LocalApi) -> tuple[Timestamp, Any]:
    """A key that expires soon, and when. One that had expired before it was made is refused."""
    for seconds in (1.0, 5.0):
        with contextlib.suppress(Refused):
            end = in_(seconds)
            return end, await api.make_key("default", "READ", expire_time=end)
    end = in_(25.0)
    return end, await api.make_key("default", "READ", expire_time=end)


async def test_a_key_that_is_revoked_is_none_at_once(api: LocalApi) -> None:
    made = await api.make_key("default", "READ")
    await api.call(*LIST, made.secret)
    revoke = key_service_pb2.RevokeKeyRequest(name=made.key.name)
    first = await api.call("KeyService/RevokeKey", revoke)
    assert (await refused(api, made.secret)).metadata == {"problem": "the key was revoked"}
    assert (await api.call("KeyService/RevokeKey", revoke)).key == first.key


async def test_a_rotated_key_is_good_until_the_overlap_ends(api: LocalApi) -> None:
    old = await api.make_key("default", "READ", display_name="robot", expire_time=in_(3600))
    overlap = Duration()
    overlap.FromTimedelta(timedelta(hours=1))
    rotate = key_service_pb2.RotateKeyRequest(name=old.key.name, overlap=overlap)
    new = await api.call("KeyService/RotateKey", rotate)
    assert (new.key.display_name, new.key.scopes) == ("robot", old.key.scopes)
    for secret in (old.secret, new.secret):
        await api.call(*LIST, secret)
    got = await api.call("KeyService/GetKey", key_service_pb2.GetKeyRequest(name=old.key.name))
    assert got.key.rotated_to == new.key.name
    told = await refused(api, BOOTSTRAP, ("KeyService/RotateKey", rotate))
    assert (told.code, told.reason) == ("FAILED_PRECONDITION", "KEY_ENDED")
    assert "PreconditionFailure" in told.details

    await api.call("KeyService/RotateKey", key_service_pb2.RotateKeyRequest(name=new.key.name))
    assert (await refused(api, new.secret)).metadata == {"problem": "the key has expired"}


async def test_the_secret_is_kept_nowhere(api: LocalApi) -> None:
    made = await api.make_key("default", "READ")
    kept = b"".join(message.data for message in api.bus.stored(">"))
    assert made.secret.encode() not in kept
    key_id = made.key.name.rpartition("/")[2]
    assert made.secret.removeprefix(f"{KEY_PREFIX}{key_id}_").encode() not in kept
    assert subjects.key("default", key_id) in {m.subject for m in api.bus.stored("account.>")}


async def test_guesses_learn_nothing_leave_nothing_and_hold_nobody_up(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        good, revoked, expired = [await api.make_key("default", "READ") for _ in range(3)]
        await api.call("KeyService/RevokeKey", key_service_pb2.RevokeKeyRequest(name=revoked.key.name))
        await api.call("KeyService/RotateKey", key_service_pb2.RotateKeyRequest(name=expired.key.name))
        before = [message.sequence for message in api.bus.stored(">")]
        # The right key's ID with another secret, and one that was never given out.
        heads = [KEY_PREFIX + made.key.name.rpartition("/")[2] for made in (good, revoked, expired)]
        guesses = [f"{head}_{n:064x}" for head in (*heads, f"{KEY_PREFIX}k0000000000000000") for n in range(250)]

        async def told(secret: str) -> tuple[str, str, str, str]:
            answer = await refused(api, secret)
            return answer.code, answer.reason, answer.message, str(answer.details)

        answers = await asyncio.gather(*(told(guess) for guess in guesses), api.call(*LIST, good.secret))
        assert len(set(answers[:-1])) == 1
        assert answers[0][1] == "CREDENTIALS_INVALID"
        assert [message.sequence for message in api.bus.stored(">")] == before, "no audit event, nothing else"


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    async with local_api(tmp_path, api_heartbeat_seconds=0.05) as api:
        made = await api.make_key("default", "READ")
        stub = task_service_pb2_grpc.TaskServiceStub(api.channel)
        call = stub.WatchTasks(WATCH, metadata=(("authorization", f"Bearer {made.secret}"),), timeout=20)
        assert (await call.read()).HasField("caught_up")
        await api.call("KeyService/RevokeKey", key_service_pb2.RevokeKeyRequest(name=made.key.name))
        while (code := await _next_code(call)) is None:
            pass
        assert code is grpc.StatusCode.UNAUTHENTICATED


async def _next_code(call: Any) -> grpc.StatusCode | None:
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def test_every_replica_follows(tmp_path: Path) -> None:
    bus = Bus()
    async with local_api(tmp_path, bus) as one, local_api(tmp_path, bus) as other:
        secret = await one.tenant("lab")

        async def let_in() -> bool:
            try:
                await other.call(*LIST, secret)
            except Refused:
                return False
            return True

        await until(let_in)
        update = tenant_service_pb2.UpdateTenantRequest(
            tenant=tenant_pb2.Tenant(name="tenants/lab", disabled=True), update_mask={"paths": ["disabled"]}
        )
        await one.call("TenantService/UpdateTenant", update)
        assert (await refused(one, secret)).reason == "TENANT_DISABLED"

        async def disabled() -> bool:
            return not await let_in()

        await until(disabled)


async def test_keys_survive_a_restart(tmp_path: Path) -> None:
    bus = Bus()
    async with local_api(tmp_path, bus) as api:
        secret = await api.tenant("lab")
    async with local_api(tmp_path, bus) as api:
        await api.call(*LIST, secret)


async def test_the_bus_may_be_away_for_who_is_known(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        secret = await api.key("default", "READ")
        with api.bus.away():
            await api.call(*LIST, secret)


async def test_an_open_api_asks_for_nothing(tmp_path: Path) -> None:
    async with local_api(tmp_path, api_auth="open") as api:
        await api.call(*LIST, "")
        await api.call("KeyService/ListKeys", key_service_pb2.ListKeysRequest(parent="tenants/default"), "")


async def test_who_calls_too_often_is_told_when_to_come_back(api: LocalApi) -> None:
    secret = await api.tenant("hasty", limits=tenant_pb2.Limits(requests_per_second=0.01, request_burst=3))
    for _ in range(3):
        await api.call(*LIST, secret)
    told = await refused(api, secret)
    assert (told.code, told.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert told.details["QuotaFailure"].violations[0].subject == "tenants/hasty"
    assert 0 < told.details["RetryInfo"].retry_delay.ToMilliseconds() <= 100_000
    await api.call(*LIST)  # nobody else is held up


async def test_who_has_locked_themselves_out_comes_back_with_the_bootstrap_key(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        admin = await api.key("default", "ADMIN", "READ")
        locked = tenant_pb2.Tenant(
            name="tenants/default", disabled=True, limits={"requests_per_second": 0.001, "request_burst": 1}
        )
        paths = ["disabled", "limits"]
        update = tenant_service_pb2.UpdateTenantRequest(tenant=locked, update_mask={"paths": paths})
        await api.call("TenantService/UpdateTenant", update, admin)
        assert (await refused(api, admin)).reason == "TENANT_DISABLED"
        update.tenant.CopyFrom(tenant_pb2.Tenant(name="tenants/default"))
        for _ in range(3):
            await api.call("TenantService/UpdateTenant", update)
        await api.call(*LIST, admin)


async def test_many_callers_at_once_are_each_their_own(api: LocalApi) -> None:
    secrets = {name: await api.tenant(name) for name in ("one", "two", "three")}

    async def who(secret: str) -> str:
        answer = await api.call("TenantService/GetTenant", tenant_service_pb2.GetTenantRequest(), secret)
        return str(answer.tenant.name)

    told = await asyncio.gather(*(who(secret) for secret in secrets.values() for _ in range(50)))
    assert told == [f"tenants/{name}" for name in secrets for _ in range(50)]


async def test_audit_events_tell_who_did_what_and_no_secret(api: LocalApi) -> None:
    made = await api.make_key("default", "READ", display_name="audited")
    admin = await api.make_key("default", "ADMIN")
    revoke = key_service_pb2.RevokeKeyRequest(name=made.key.name)
    await api.call("KeyService/RevokeKey", revoke, admin.secret)
    absent = key_service_pb2.RevokeKeyRequest(name="tenants/default/keys/absent")
    await refused(api, admin.secret, ("KeyService/RevokeKey", absent))

    events = await audit(api)
    mine = [event for event in events if event.actor == admin.key.name]
    assert [(event.method.rpartition("/")[2], event.resource, event.outcome) for event in mine] == [
        ("RevokeKey", made.key.name, "OK"),
        ("RevokeKey", absent.name, "KEY_NOT_FOUND"),
    ]
    assert mine[0].peer.startswith("ipv4:127.0.0.1:")
    assert json.loads(mine[0].request_json) == {"name": made.key.name}
    assert made.secret not in str(events)
    assert {event.method.rpartition("/")[2] for event in events} <= {
        "CreateTenant", "UpdateTenant", "CreateKey", "RotateKey", "RevokeKey",
    }  # fmt: skip


async def audit(api: LocalApi) -> list[Any]:
    """All events, page by page."""
    found, token = [], ""
    while True:
        request = tenant_service_pb2.ListAuditEventsRequest(page_size=5, page_token=token)
        answer = await api.call("TenantService/ListAuditEvents", request)
        found += answer.events
        if not (token := answer.next_page_token):
            return found


async def test_what_can_t_be_noted_is_not_answered(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        made = await api.make_key("default", "READ")
        with api.bus.away():
            revoke = key_service_pb2.RevokeKeyRequest(name=made.key.name)
            assert (await refused(api, BOOTSTRAP, ("KeyService/RevokeKey", revoke))).reason == "BUS_UNAVAILABLE"
