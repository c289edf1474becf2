"""TLS and mTLS on the gRPC port, with certificates that change while it serves."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest

from comfymesh.api.access.certificates import CertificateError, Certificates, Files
from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, Refused, local_api
from comfymesh.testkit.certificates import Authority, Pair
from comfymesh.v1 import task_service_pb2, task_service_pb2_grpc


def settings(pair: Pair, **more: Any) -> dict[str, Any]:
    return {"api_tls_certificate": str(pair.certificate), "api_tls_key": str(pair.key), **more}


async def call(api: LocalApi, authority: Authority, pair: Pair | None = None) -> None:
    """One call over a connection of its own."""
    own = (pair.key.read_bytes(), pair.certificate.read_bytes()) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.pair.certificate.read_bytes(), *own)
    async with grpc.aio.secure_channel(api.target, credentials) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        metadata = (("authorization", f"Bearer {BOOTSTRAP}"),)
        await stub.ListTasks(task_service_pb2.ListTasksRequest(), metadata=metadata, timeout=5)


async def shown(api: LocalApi) -> str:
    """The certificate that a new connection is shown."""
    host, _, port = api.target.partition(":")
    return ssl.get_server_certificate((host, int(port)), timeout=5)


async def test_the_line_is_encrypted_and_the_server_is_who_it_says(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    async with local_api(tmp_path, **settings(authority.issue("server"))) as api:
        await call(api, authority)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(api, stranger)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(Refused, match="UNAVAILABLE"):  # in the clear
            await api.call("TaskService/ListTasks", task_service_pb2.ListTasksRequest())


async def test_with_mtls_only_those_come_in_whom_the_authority_knows(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    chosen = settings(authority.issue("server"), api_tls_client_ca=str(authority.pair.certificate))
    async with local_api(tmp_path, **chosen) as api:
        await call(api, authority, authority.issue("caller"))
        for pair in (None, stranger.issue("impostor")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(api, authority, pair)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    async with local_api(tmp_path, **settings(pair)) as api:
        first = await shown(api)
        assert first == pair.certificate.read_text()
        authority.issue("server")
        second = await shown(api)
        assert second == pair.certificate.read_text() != first
        await call(api, authority)


async def test_a_new_client_authority_is_heeded_without_a_restart(tmp_path: Path) -> None:
    authority, successor = Authority(tmp_path), Authority(tmp_path, "successor")
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes(authority.pair.certificate.read_bytes())
    async with local_api(tmp_path, **settings(authority.issue("server"), api_tls_client_ca=str(trusted))) as api:
        caller = successor.issue("caller")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(api, authority, caller)
        trusted.write_bytes(successor.pair.certificate.read_bytes())
        await call(api, authority, caller)


@pytest.mark.parametrize("damage", ["half", "other", "gone", "empty"])
async def test_files_in_the_middle_of_being_replaced_change_nothing(tmp_path: Path, damage: str) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    async with local_api(tmp_path, **settings(pair)) as api:
        first = await shown(api)
        good = pair.certificate.read_bytes()
        match damage:
            case "half":
                pair.certificate.write_bytes(good[: len(good) // 2])
            case "other":
                pair.certificate.write_bytes(authority.issue("other").certificate.read_bytes())
            case "gone":
                pair.certificate.unlink()
            case "empty":
                pair.key.write_bytes(b"")
        assert await shown(api) == first
        renewed = authority.issue("server")
        assert await shown(api) == renewed.certificate.read_text() != first


def test_what_can_t_be_used_from_the_beginning_ends_the_service(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.issue("server"), authority.issue("other")
    for files in (
        Files(str(pair.certificate), str(other.key)),
        Files(str(tmp_path / "absent"), str(pair.key)),
        Files(str(pair.certificate), str(pair.key), str(pair.key)),
    ):
        with pytest.raises(CertificateError) as error:
            Certificates(files)
        assert error.value.exit_code == 78
