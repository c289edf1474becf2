"""What each vendor is sent, over real sockets: at the edge of the transport, their hosts are led to one on loopback."""

from __future__ import annotations

import asyncio
import base64
import email
import hashlib
import hmac
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests.adapters
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from comfymesh.notifier.domain.rules import Channel
from comfymesh.notifier.sending import Address, AddressError, SendError, address_of
from comfymesh.stack.mesh import free_port
from comfymesh.testkit.receivers import Received, Receiver, receiver
from comfymesh.testkit.waiting import DEADLINE

TITLE, TEXT = "[ERROR] failed", "it broke\nnode: a"
# The libraries' own: Apprise looks for a module that Python has deprecated.
# And the server of the test takes passwords without TLS.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning"),
]

SECRET = "SECabcdefgh0123456789"


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """A server to which every HTTPS request is led, whichever host it is for."""
    async with receiver() as running:
        real = requests.adapters.HTTPAdapter.send

        def send(adapter: Any, request: Any, **options: Any) -> requests.Response:
            parts = urlsplit(request.url)
            request.headers["X-Meant-For"] = f"{parts.scheme}://{parts.netloc}"
            request.url = f"{running.url}{parts.path}{'?' + parts.query if parts.query else ''}"
            return real(adapter, request, **options)

        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
        yield running


def dingtalk(request: Received) -> None:
    assert request.path == "/robot/send"
    assert request.query["access_token"] == "token0123456789"
    signed = f"{request.query['timestamp']}\n{SECRET}".encode()
    assert base64.b64decode(request.query["sign"]) == hmac.digest(SECRET.encode(), signed, hashlib.sha256)
    assert request.json["msgtype"] in {"text", "markdown"}
    assert "it broke" in str(request.json)


def wecom(request: Received) -> None:
    assert (request.path, request.query) == ("/cgi-bin/webhook/send", {"key": "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"})
    assert request.json["msgtype"] == "text"
    assert "it broke" in request.json["text"]["content"]


def feishu(request: Received) -> None:
    assert request.path.rstrip("/") == "/open-apis/bot/v2/hook/token0123456789"
    assert request.json["msg_type"] == "text"
    assert "it broke" in request.json["content"]["text"]


def slack(request: Received) -> None:
    assert request.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert "it broke" in str(request.json["attachments"])


def discord(request: Received) -> None:
    assert request.path == "/api/webhooks/123456789012345678/token0123456789-abcdefghijklmnopqrstuvwxyz"
    assert "it broke" in str(request.json)


def teams(request: Received) -> None:
    assert request.path == "/workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/invoke"
    assert "it broke" in str(request.json["attachments"])


def telegram(request: Received) -> None:
    assert request.path == "/bot123456789:alphanumeric_string/sendMessage"
    assert (request.json["chat_id"], "it broke" in request.json["text"]) == (315315, True)


def webhook(request: Received) -> None:
    assert request.path == "/hooks/mesh"
    assert (request.json["title"], request.json["message"], request.json["type"]) == (TITLE, TEXT, "failure")


VENDORS: dict[str, tuple[str, str, Callable[[Received], None]]] = {
    "dingtalk": (f"dingtalk://{SECRET}@token0123456789/", "https://oapi.dingtalk.com", dingtalk),
    "wecom": ("wecombot://693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa", "https://qyapi.weixin.qq.com", wecom),
    "feishu": ("feishu://token0123456789", "https://open.feishu.cn", feishu),
    "slack": ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "https://hooks.slack.com", slack),
    "discord": (
        "discord://123456789012345678/token0123456789-abcdefghijklmnopqrstuvwxyz",
        "https://discord.com",
        discord,
    ),
    "teams": (
        "workflows://prod-00.westus.logic.azure.com:443/643e69f83c8944438d68119179a10a64/KODuebWbDGYFr0z0eu0C79hj4mTb",
        "https://prod-00.westus.logic.azure.com:443",
        teams,
    ),
    "telegram": ("tgram://123456789:alphanumeric_string/315315", "https://api.telegram.org", telegram),
    "webhook": ("jsons://hooks.example.org/hooks/mesh", "https://hooks.example.org", webhook),
}


@pytest.mark.parametrize("name", VENDORS)
async def test_each_vendor_is_sent_what_it_takes(name: str, vendor: Receiver) -> None:
    url, host, check = VENDORS[name]
    vendor.body = "ok" if name == "slack" else {"errcode": 0, "errmsg": "ok", "code": 0, "ok": True}
    await Address(url).send(TITLE, TEXT, bad=True, timeout=10)
    (request,) = vendor.received
    assert request.headers["X-Meant-For"] == host
    check(request)


@pytest.mark.parametrize("name", VENDORS)
async def test_no_secret_is_shown_whatever_goes_wrong(name: str, vendor: Receiver) -> None:
    url, _, _ = VENDORS[name]
    address = Address(url)
    vendor.answer, vendor.body = 404, {"errcode": 1, "errmsg": url, "code": 1, "description": url}
    with pytest.raises(SendError) as refused:
        await address.send(TITLE, TEXT, bad=True, timeout=10)
    secrets = [part for part in url.partition("://")[2].replace("@", "/").split("/") if len(part) > 8]
    assert secrets
    assert [s for s in secrets if s in address.masked or s in str(refused.value) or s in repr(address)] == []


@pytest.mark.parametrize("name", ["dingtalk", "wecom", "feishu"])
async def test_a_refusal_that_comes_with_status_200_is_no_success(name: str, vendor: Receiver) -> None:
    vendor.body = {"errcode": 310000, "errmsg": "sign not match", "code": 9499, "msg": "sign not match"}
    with pytest.raises(SendError, match="sign not match"):
        await Address(VENDORS[name][0]).send(TITLE, TEXT, bad=True, timeout=10)


async def test_a_server_that_never_answers_is_given_up_in_time(vendor: Receiver) -> None:
    vendor.answer = None
    address = Address("jsons://hooks.example.org")
    with pytest.raises(SendError):
        await address.send(TITLE, TEXT, bad=True, timeout=0.2)
    with pytest.raises(SendError):
        await address.send(TITLE, TEXT, bad=True, timeout=0.2)
    assert sum(thread.name == "send" for thread in threading.enumerate()) <= 1


@pytest.mark.parametrize("url", ["", "nothing", "nothing://secret0123", "slack://", "json://"])
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        Address(url)
    assert "secret0123" not in str(refused.value)


def test_an_address_is_read_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("json://from.file.example\n")
    assert address_of(Channel(name="a", env="URL"), {"URL": "json://from.environment.example"}).masked.startswith(
        "json"
    )
    assert address_of(Channel(name="a", file=str(tmp_path / "secret"))).masked.startswith("json")
    with pytest.raises(AddressError, match="URL is not set"):
        address_of(Channel(name="a", env="URL"), {})
    with pytest.raises(AddressError, match="can't be read"):
        address_of(Channel(name="a", file=str(tmp_path / "none")))


class Mailbox:
    """Takes mail."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], Message]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802  # the library's
        assert isinstance(envelope.content, bytes)
        self.taken.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 OK"


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"mesh", b"password0123")
    return AuthResult(success=known)


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        authenticator=_authenticate,
        auth_require_tls=False,
        auth_required=True,
        ready_timeout=DEADLINE,
    )
    controller.start()
    yield box, port
    controller.stop()


async def test_mail_goes_through_a_real_smtp_server(mail: tuple[Mailbox, int]) -> None:
    box, port = mail
    url = f"mailto://mesh:password0123@127.0.0.1:{port}?from=mesh@example.org&to=ops@example.org&mode=insecure"
    address = Address(url)
    await asyncio.gather(address.send(TITLE, f"{TEXT}\n显存不足", bad=True, timeout=10))
    ((to, message),) = box.taken
    assert (to, message["Subject"]) == (["ops@example.org"], TITLE)
    texts = [
        str(part.get_payload(decode=True), "utf-8") for part in message.walk() if part.get_content_maintype() == "text"
    ]
    assert any("it broke" in text and "显存不足" in text for text in texts)
    assert "password0123" not in address.masked


async def test_mail_with_a_wrong_password_is_an_error_that_does_not_show_it(mail: tuple[Mailbox, int]) -> None:
    _, port = mail
    url = f"mailto://mesh:wrong-password@127.0.0.1:{port}?from=mesh@example.org&to=ops@example.org&mode=insecure"
    with pytest.raises(SendError) as refused:
        await Address(url).send(TITLE, TEXT, bad=True, timeout=10)
    assert "wrong-password" not in str(refused.value)
