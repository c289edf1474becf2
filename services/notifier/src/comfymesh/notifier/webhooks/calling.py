"""Makes one call to a callback URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from comfymesh.egress.guard import EgressRefusedError
from comfymesh.egress.http import OutwardError, OutwardHttp
from comfymesh.notifier.domain import signing
from comfymesh.notifier.domain.wording import clean

_READ_BYTES = 1024
_LONGEST_ERROR = 300
_PASSING = "HOST_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call.

    Attributes:
        status: What the receiver answered, 0 for nothing.
        error: Why it was no success, for people; hostile.
        hopeless: Whether trying again can't help.
        retry_after: What the receiver wishes, in seconds.
    """

    status: int
    error: str = ""
    hopeless: bool = False
    retry_after: float = 0.0


class Caller(Protocol):
    """Makes calls."""

    async def __call__(self, url: str, webhook_id: str, body: bytes) -> Answer:
        """Call a URL."""
        ...


class SignedCaller:
    """Makes calls that are signed.

    Args:
        http: Asks servers outside.
        keys: What to sign with; each makes a signature.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, http: OutwardHttp, keys: Sequence[bytes], clock: Callable[[], float]) -> None:
        self._http = http
        self._keys = keys
        self._clock = clock

    async def __call__(self, url: str, webhook_id: str, body: bytes) -> Answer:
        """See Caller."""
        if not self._keys:
            return Answer(0, "no secret to sign with: set COMFYMESH_NOTIFIER_WEBHOOK_SECRETS", hopeless=True)
        headers = signing.headers(self._keys, webhook_id, self._clock(), body)
        try:
            async with self._http.request("POST", url, data=body, headers=headers) as answer:
                if 200 <= answer.status < 300:
                    return Answer(answer.status)
                said = (await answer.content.read(_READ_BYTES)).decode(errors="replace")
                wish = answer.headers.get("Retry-After", "")
                return Answer(
                    answer.status,
                    clean(f"the receiver answered {answer.status}: {said}", _LONGEST_ERROR),
                    retry_after=float(wish) if wish.isascii() and wish.isdigit() and len(wish) < 7 else 0.0,
                )
        except EgressRefusedError as error:
            return Answer(0, str(error), hopeless=error.reason != _PASSING)
        except OutwardError as error:
            return Answer(0, clean(str(error), _LONGEST_ERROR))
