"""Page sizes and page tokens, the same for every list."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from typing import Protocol, TypeAlias, TypeVar

from google.protobuf.message import Message

from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.v1 import fleet_service_pb2, key_service_pb2, tenant_service_pb2

DEFAULT_SIZE = 50
MAX_SIZE = 1000

ByName: TypeAlias = (
    fleet_service_pb2.ListNodesRequest
    | fleet_service_pb2.ListPoolsRequest
    | key_service_pb2.ListKeysRequest
    | tenant_service_pb2.ListTenantsRequest
)
"""Asks for a page of a list that is in order of names."""


class Named(Protocol):
    """What such a list holds."""

    name: str


N = TypeVar("N", bound=Named)


def violations(asked: int) -> list[Violation]:
    """What is wrong with a page size."""
    return [Violation("page_size", f"{asked} is negative; leave it out for {DEFAULT_SIZE}")] if asked < 0 else []


def size(asked: int) -> int:
    """The page size to use for what was asked; refuses negative ones."""
    if wrong := violations(asked):
        raise invalid(wrong)
    return min(asked or DEFAULT_SIZE, MAX_SIZE)


def by_name(request: ByName, values: Iterable[N]) -> tuple[list[N], str]:
    """The page that is asked for of these, which come in order of their names, and the token of the next one.

    The token is empty where there is none.
    """
    most = size(request.page_size)
    after = str(read_token(request, request.page_token, str)[0]) if request.page_token else ""
    found = list(islice((value for value in values if value.name > after), most + 1))
    token = make_token(request, [found[most - 1].name]) if len(found) > most else ""
    return found[:most], token


def make_token(request: Message, place: list[str | float]) -> str:
    """A token for what follows `place`, bound to everything in the request but its page fields."""
    text = json.dumps([_fingerprint(request), *place])
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_token(request: Message, token: str, *kinds: type[str | float]) -> list[str | float]:
    """The place that a token holds, of these kinds; refuses tokens that were not made for such a request."""
    try:
        fingerprint, *parts = json.loads(base64.urlsafe_b64decode(token.encode("ascii", "strict")))
    except (ValueError, TypeError, RecursionError):
        raise _refused("was not made by this method") from None
    if fingerprint != _fingerprint(request):
        raise _refused("was made for other arguments")
    if [type(part) for part in parts] != list(kinds):
        raise _refused("was not made by this method")
    place: list[str | float] = parts
    return place


def foreign() -> RefusedError:
    """A token that holds what no list has told."""
    return _refused("was not made by this method")


def _refused(why: str) -> RefusedError:
    message = f"the page token {why}; begin again without one"
    return RefusedError("PAGE_TOKEN_INVALID", message, violations=[Violation("page_token", message)])


def _fingerprint(request: Message) -> str:
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("page_token")
    bare.ClearField("page_size")
    named = type(request).__name__.encode() + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(named).hexdigest()[:16]
