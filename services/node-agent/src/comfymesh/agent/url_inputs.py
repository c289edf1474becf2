"""Files that tasks name by URL: fetched, looked at, named for ComfyUI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from comfymesh.agent.comfyui.protocol import clean
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.media import UNKNOWN, sniff, suffix
from comfymesh.egress.fetch import Fetcher, FetchError
from comfymesh.patterns import fits
from comfymesh.tasks.failures import FailureClass
from comfymesh.wire.v1 import spec_pb2

_TAKEN = {
    "image": ("image",),
    "audio": ("audio", "video"),  # ComfyUI's loaders of sound take it out of films as well.
    "video": ("video",),
    "": ("image", "audio", "video"),
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_STEM = 48
_LONGEST_PROBLEM = 300


class InputError(Exception):
    """An input can't be brought to the instance.

    Attributes:
        failure: INPUT_INVALID for good, or INPUT_UNAVAILABLE for now.
        metadata: Which input, which host, what is wrong with it, for machines.
    """

    def __init__(self, failure: FailureClass, binding: spec_pb2.UrlBinding, problem: FetchError) -> None:
        place = f"{binding.graph_node}.{binding.input}"
        super().__init__(f"input {place} can't be fetched: {clean(str(problem), _LONGEST_PROBLEM)}")
        self.failure = failure
        self.metadata = {"input": place, "host": problem.host, "problem": problem.problem}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched: its bytes, their SHA-256 (hex), and a name that says what it is."""

    data: bytes
    sha256: str
    name: str


Bindings = Sequence[spec_pb2.UrlBinding]
FetchFiles = Callable[[Bindings, Sequence[str]], AsyncGenerator[tuple[spec_pb2.UrlBinding, Fetched]]]
"""Fetches the files of bindings from hosts that fit patterns."""


class UrlInputs:
    """Fetches files.

    Args:
        fetcher: Asks their servers.
        hosts: Patterns of the hosts that the operator allows; empty: none.
        seconds: How long all files of one attempt may take.
    """

    def __init__(self, fetcher: Fetcher, hosts: Sequence[str], seconds: float) -> None:
        self._fetcher = fetcher
        self._hosts = tuple(hosts)
        self._seconds = seconds

    async def fetch(
        self, bindings: Bindings, hosts: Sequence[str]
    ) -> AsyncGenerator[tuple[spec_pb2.UrlBinding, Fetched]]:
        """Files, each of the kind that its input takes. One is in memory at a time.

        Args:
            bindings: Say where they are and what they must be.
            hosts: Patterns of the hosts that their tenant may name; empty: any.

        Raises:
            InputError: One can't be had.
        """
        until = asyncio.get_running_loop().time() + self._seconds
        theirs = tuple(pattern.lower() for pattern in hosts)

        def may(host: str) -> bool:
            return fits(self._hosts, host) and (not theirs or fits(theirs, host))

        for binding in bindings:
            yield binding, await self._one(binding, may, until)

    async def _one(self, binding: spec_pb2.UrlBinding, may: Callable[[str], bool], until: float) -> Fetched:
        try:
            with await self._fetcher.fetch(binding.url, may, until) as content:
                return await _looked_at(content, binding)
        except FetchError as error:
            failure = FailureClass.INPUT_UNAVAILABLE if error.passing else FailureClass.INPUT_INVALID
            raise InputError(failure, binding, error) from error


async def none_is_fetched(
    bindings: Bindings,
    hosts: Sequence[str],  # noqa: ARG001  # see FetchFiles
) -> AsyncGenerator[tuple[spec_pb2.UrlBinding, Fetched]]:
    """Refuse every URL: where nothing is set up to fetch."""
    for binding in bindings:
        problem = FetchError("HOST_NOT_ALLOWED", "", "this node fetches nothing")
        raise InputError(FailureClass.INPUT_INVALID, binding, problem)
        yield  # What makes it a generator.


async def _looked_at(content: Content, binding: spec_pb2.UrlBinding) -> Fetched:
    media_type = sniff(content.head)
    taken = _TAKEN.get(binding.kind, _TAKEN[""])
    if media_type.partition("/")[0] not in taken:
        told = "no picture, sound or film that is known" if media_type == UNKNOWN else f"a file of type {media_type}"
        message = f"there is {told}, and the input takes {' or '.join(taken)}"
        raise FetchError("MEDIA_TYPE", urlsplit(binding.url).hostname or "", message)
    data = b"".join([piece async for piece in content.chunks()])
    await asyncio.sleep(0)  # So much may have been joined that others want a turn.
    return Fetched(data, content.sha256, _name(binding.url, media_type))


def _name(url: str, media_type: str) -> str:
    """A name that ends as its content demands: ComfyUI's loaders go by that."""
    last = unquote(urlsplit(url).path.rpartition("/")[2]).rpartition(".")
    stem = _UNSAFE.sub("_", last[0] or last[2])[:_LONGEST_STEM].strip("_-")
    return f"{stem or 'file'}{suffix(media_type)}"
