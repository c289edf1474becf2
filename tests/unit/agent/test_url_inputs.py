"""Files by URL: what is taken for which input, what they are called, which hosts are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from comfymesh.agent.url_inputs import Fetched, InputError, UrlInputs
from comfymesh.artifacts.content import Content
from comfymesh.egress.fetch import Fetcher, FetchError
from comfymesh.tasks.failures import FailureClass
from comfymesh.wire.v1 import spec_pb2

PNG, OGG, MP4 = b"\x89PNG\r\n\x1a\n.", b"OggS.", b"\0\0\0\x18ftypisom"


class Server:
    """Stands in for a Fetcher: gives one content to whoever may ask its host."""

    def __init__(self, content: bytes | FetchError) -> None:
        self._content = content

    async def fetch(self, url: str, may: Callable[[str], bool], _: float) -> Content:
        if not may(url.split("/")[2]):
            raise FetchError("HOST_NOT_ALLOWED", "x", "no")
        if isinstance(self._content, FetchError):
            raise self._content
        return Content.of(self._content)


async def fetched(
    content: bytes | FetchError,
    url: str = "https://files.example/a.png",
    kind: str = "image",
    operator: tuple[str, ...] = ("*",),
    tenant: tuple[str, ...] = (),
) -> Fetched:
    inputs = UrlInputs(cast("Fetcher", Server(content)), operator, 10.0)
    binding = spec_pb2.UrlBinding(graph_node="1", input="image", url=url, kind=kind)
    ((_, file),) = [found async for found in inputs.fetch([binding], tenant)]
    return file


@pytest.mark.parametrize(
    ("content", "kind", "taken"),
    [
        (PNG, "image", True),
        (OGG, "audio", True),
        (MP4, "audio", True),
        (MP4, "video", True),
        (OGG, "", True),
        (OGG, "image", False),
        (PNG, "audio", False),
        (PNG, "video", False),
        (b"<html>", "image", False),
        (b"<html>", "", False),
        (b"\x80\x05pickle", "", False),
    ],
)
async def test_a_file_is_what_its_input_takes(content: bytes, kind: str, taken: bool) -> None:  # noqa: FBT001
    if taken:
        assert (await fetched(content, kind=kind)).data == content
    else:
        with pytest.raises(InputError) as refused:
            await fetched(content, kind=kind)
        assert refused.value.failure is FailureClass.INPUT_INVALID
        assert refused.value.metadata == {"input": "1.image", "host": "files.example", "problem": "MEDIA_TYPE"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("photo.png", "photo.png"),
        ("photo.php?x=y.exe", "photo.png"),
        ("photo", "photo.png"),
        ("", "file.png"),
        ("%2e%2e%2f%2e%2e%2fetc%2fpasswd", "file.png"),
        ("%2fetc%2fpasswd", "etc_passwd.png"),
        ("..%5C..%5Cboot.ini", "boot.png"),
        ("a%00b.png", "a_b.png"),
        ("%F0%9F%92%A9.png", "file.png"),
        ("x" * 300 + ".png", "x" * 48 + ".png"),
        ("a.png [output]", "a.png"),
    ],
)
async def test_a_name_is_plain_and_ends_as_the_content_demands(path: str, name: str) -> None:
    assert (await fetched(PNG, f"https://files.example/dir/{path}")).name == name


@pytest.mark.parametrize(
    ("operator", "tenant", "host", "may"),
    [
        (("*",), (), "files.example", True),
        ((), (), "files.example", False),
        (("*.example",), (), "files.example", True),
        (("*.example",), (), "example", False),
        (("*.example",), (), "files.example.evil.test", False),
        (("*",), ("FILES.example",), "files.example", True),
        (("*",), ("other.example",), "files.example", False),
        (("other.example",), ("files.example",), "files.example", False),
    ],
)
async def test_operator_and_tenant_both_have_to_allow_a_host(
    operator: tuple[str, ...],
    tenant: tuple[str, ...],
    host: str,
    may: bool,  # noqa: FBT001
) -> None:
    if may:
        await fetched(PNG, f"https://{host}/a.png", operator=operator, tenant=tenant)
    else:
        with pytest.raises(InputError) as refused:
            await fetched(PNG, f"https://{host}/a.png", operator=operator, tenant=tenant)
        assert refused.value.metadata["problem"] == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("passing", "failure"), [(True, FailureClass.INPUT_UNAVAILABLE), (False, FailureClass.INPUT_INVALID)]
)
async def test_what_may_pass_is_tried_again_and_the_rest_is_not(passing: bool, failure: FailureClass) -> None:  # noqa: FBT001
    with pytest.raises(InputError) as refused:
        await fetched(FetchError("HTTP_500", "files.example", "it answered 500", passing=passing))
    assert refused.value.failure is failure
