"""What goes out, byte by byte."""

from __future__ import annotations

import pytest

from comfymesh.agent.http1.address import Address
from comfymesh.agent.http1.request import PIECE, Request, form

ADDRESS = Address.of("http://127.0.0.1:8188/behind/")


def sent(request: Request, address: Address = ADDRESS) -> bytes:
    return b"".join(request.pieces(address))


def test_a_question() -> None:
    assert sent(Request("GET", "/view?filename=a%20b")) == (
        b"GET /behind/view?filename=a%20b HTTP/1.1\r\nHost: 127.0.0.1:8188\r\nUser-Agent: ComfyMesh\r\n"
        b"Accept-Encoding: identity\r\n\r\n"
    )


def test_a_body_goes_out_with_its_head_and_tells_its_length() -> None:
    request = Request("POST", "/prompt", (b"{}", b"!"), "application/json")
    (piece,) = request.pieces(ADDRESS)
    head, _, body = bytes(piece).partition(b"\r\n\r\n")
    assert head.endswith(b"Content-Type: application/json\r\nContent-Length: 3")
    assert body == b"{}!"


def test_no_body_has_a_length_as_well() -> None:
    assert sent(Request("POST", "/api/jobs/1/cancel")).endswith(b"\r\nContent-Length: 0\r\n\r\n")


def test_a_large_body_goes_out_in_pieces() -> None:
    body = bytes(range(256)) * 4 * 1024
    pieces = list(Request("POST", "/prompt", (b"<", body, b">"), "x/y").pieces(ADDRESS))
    assert max(map(len, pieces)) <= PIECE
    assert b"".join(pieces).endswith(b"\r\n\r\n<" + body + b">")


@pytest.mark.parametrize("target", ["", "queue", "/a b", "/a\r\nX: y", "/\x00", "/é"])
def test_a_target_that_would_be_more_than_one_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        sent(Request("GET", target))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://gpu", ("gpu", 80, False, "", "gpu")),
        ("https://gpu/", ("gpu", 443, True, "", "gpu")),
        ("https://gpu:8443/a/b", ("gpu", 8443, True, "/a/b", "gpu:8443")),
        ("http://[::1]:8188", ("::1", 8188, False, "", "[::1]:8188")),
        ("http://me:secret@gpu:81/x/", ("gpu", 81, False, "/x", "gpu:81")),
    ],
)
def test_where_a_server_is(url: str, expected: tuple[str, int, bool, str, str]) -> None:
    address = Address.of(url)
    host = address.headers.partition("\r\n")[0].removeprefix("Host: ")
    assert (address.host, address.port, address.tls, address.prefix, host) == expected


@pytest.mark.parametrize(
    ("user", "coded"), [("me:secret", "bWU6c2VjcmV0"), ("me", "bWU6"), ("m%40e:s%3Ae%20t", "bUBlOnM6ZSB0")]
)
def test_a_name_and_password_in_the_address_are_sent(user: str, coded: str) -> None:
    address = Address.of(f"http://{user}@gpu")
    assert f"\r\nAuthorization: Basic {coded}\r\n" in address.headers


@pytest.mark.parametrize("url", ["", "gpu:8188", "ftp://gpu", "http://", "http://gpu:port", "unix:///run/x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        Address.of(url)


def test_a_form_has_the_file_and_the_fields() -> None:
    kind, parts = form({"type": "input", "subfolder": "a/b"}, "image", "x.png", b"\r\n--PNG")
    boundary = kind.removeprefix("multipart/form-data; boundary=").encode()
    assert b"".join(parts).split(b"--" + boundary) == [
        b"",
        (
            b'\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n\r\n--PNG\r\n"
        ),
        b'\r\nContent-Disposition: form-data; name="type"\r\n\r\ninput\r\n',
        b'\r\nContent-Disposition: form-data; name="subfolder"\r\n\r\na/b\r\n',
        b"--\r\n",
    ]
