"""JWTs of a local issuer, with its keys in a file and at a URL."""

from __future__ import annotations

import asyncio
import base64
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from comfymesh.api.access.tokens import SigningKeys
from comfymesh.testkit.apis import LocalApi, Refused, local_api
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_service_pb2

ISSUER, AUDIENCE = "https://issuer.test", "comfymesh"
LIST = ("TaskService/ListTasks", task_service_pb2.ListTasksRequest())
CREATE = ("TaskService/CreateTask", task_service_pb2.CreateTaskRequest())


class Issuer:
    """Signs tokens, and serves its keys."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = "one"
        self.asked = 0

    @property
    def jwks(self) -> str:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**public, "kid": self.key_id, "alg": "RS256", "use": "sig"}]})

    def token(self, *, key: Any = None, algorithm: str = "RS256", kid: str = "", **claims: Any) -> str:
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ann",
            "exp": time.time() + 60,
            "tenant": "default",
            "scope": "openid comfymesh:read",
            **claims,
        }
        given = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(given, key or self.key, algorithm, headers={"kid": kid or self.key_id})


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def url(issuer: Issuer) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(issuer.jwks.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.shutdown()
        thread.join()


def settings(source: str) -> dict[str, str]:
    return {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_jwks": source}


async def refused(api: LocalApi, token: str, call: tuple[str, Any] = LIST) -> Refused:
    with pytest.raises(Refused) as told:
        await api.call(*call, token)
    return told.value


async def test_a_token_lets_in_for_what_its_scopes_say(tmp_path: Path, issuer: Issuer) -> None:
    (tmp_path / "jwks.json").write_text(issuer.jwks)
    async with local_api(tmp_path, **settings(str(tmp_path / "jwks.json"))) as api:
        token = issuer.token()
        for _ in range(2):  # the second time out of memory
            await api.call(*LIST, token)
        assert (await refused(api, token, CREATE)).reason == "SCOPE_MISSING"
        submit = issuer.token(scope=None, scp=["comfymesh:submit"])
        assert (await refused(api, submit, CREATE)).reason == "INPUT_INVALID"
        for wrong in everything_wrong(issuer):
            told = await refused(api, wrong)
            assert (told.code, told.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID"), wrong


def everything_wrong(issuer: Issuer) -> list[str]:
    """Tokens of which each is wrong in one way."""
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.dumps(json.loads(issuer.jwks)["keys"][0]).encode()
    header, payload, signature = issuer.token().split(".")
    return [
        issuer.token(iss="https://other.test"),
        issuer.token(aud="other"),
        issuer.token(aud=None),
        issuer.token(exp=time.time() - 3600),
        issuer.token(exp=None),
        issuer.token(nbf=time.time() + 3600),
        issuer.token(sub=None),
        issuer.token(tenant=None),
        issuer.token(tenant="no.tenant"),
        issuer.token(tenant=["default"]),
        issuer.token(tenant="absent"),
        issuer.token(key=stranger),
        issuer.token(kid="unknown"),
        issuer.token(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        forged(payload, public),
        f"{headed(alg='none')}.{payload}.",
        f"{encoded('[' * 5000)}.{payload}.{signature}",
        f"{headed(alg='RS256', kid=7)}.{payload}.{signature}",
        f"{header}.{payload}.{signature[:-6]}AAAAAA",
        f"{header}.{payload}.",
        "a.b.c",
        "e30.e30.e30",
    ]


def forged(payload: str, secret: bytes) -> str:
    """Signed with what everybody can know, in the hope that it is taken for a shared secret."""
    signed = f"{headed(alg='HS256')}.{payload}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def headed(**fields: Any) -> str:
    """A header, encoded."""
    return encoded(json.dumps({"kid": "one", **fields}))


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_scopes_of_others_are_none_of_ours(tmp_path: Path, issuer: Issuer) -> None:
    (tmp_path / "jwks.json").write_text(issuer.jwks)
    async with local_api(tmp_path, **settings(str(tmp_path / "jwks.json"))) as api:
        assert (await refused(api, issuer.token(scope="read admin comfymesh:"))).reason == "SCOPE_MISSING"
        assert (await refused(api, issuer.token(scope={"read": 1}))).reason == "SCOPE_MISSING"


async def test_keys_are_read_from_a_url(tmp_path: Path, url: str, issuer: Issuer) -> None:
    async with local_api(tmp_path, **settings(url)) as api:
        await api.call(*LIST, issuer.token())
        assert (await refused(api, Issuer().token())).reason == "CREDENTIALS_INVALID"


async def test_made_up_key_ids_do_not_make_us_ask_each_time(url: str, issuer: Issuer) -> None:
    clock = ManualClock()
    keys = SigningKeys(url, clock)
    issuer.asked = 0
    await asyncio.gather(*(keys.find(f"made-up-{n}") for n in range(50)))
    assert issuer.asked == 1
    clock.advance(11)
    issuer.key_id = "two"
    assert await keys.find("two") is not None
    assert issuer.asked == 2
    assert await keys.find("two") is not None
    assert issuer.asked == 2


async def test_keys_that_are_known_stay_when_the_issuer_is_away(tmp_path: Path, issuer: Issuer) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(issuer.jwks)
    keys = SigningKeys(str(path), ManualClock())
    await keys.refresh()
    for text in ("", "{", '{"keys": []}', "[]", '{"keys": [{"kty": "oct"}]}'):
        path.write_text(text)
        await keys.refresh()
        assert await keys.find(issuer.key_id) is not None, text


async def test_without_the_issuers_keys_a_caller_is_asked_to_come_back(tmp_path: Path, issuer: Issuer) -> None:
    path = tmp_path / "jwks.json"
    async with local_api(tmp_path, **settings(str(path))) as api:
        told = await refused(api, issuer.token())
        assert (told.code, told.reason) == ("UNAVAILABLE", "ISSUER_UNAVAILABLE")
        assert "RetryInfo" in told.details


async def test_a_token_that_expires_is_none_even_out_of_memory(tmp_path: Path, issuer: Issuer) -> None:
    (tmp_path / "jwks.json").write_text(issuer.jwks)
    async with local_api(tmp_path, **settings(str(tmp_path / "jwks.json"))) as api:
        token = issuer.token(exp=int(time.time()) - 25)  # half a minute is forgiven, for clocks that differ
        await api.call(*LIST, token)

        async def ended() -> bool:
            try:
                await api.call(*LIST, token)
            except Refused as told:
                return told.metadata == {"problem": "the token has expired"}
            return False

        await until(ended)
