"""Signs webhooks by the Standard Webhooks scheme, version 1 (https://www.standardwebhooks.com), with HMAC-SHA256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64


def key_of(secret: str) -> bytes:
    """The key in a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`: base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is none. The message shows nothing of it.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is whsec_ and base64") from None
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(f"a webhook secret holds {_SHORTEST} to {_LONGEST} bytes, this one has {len(key)}")
    return key


def headers(keys: Sequence[bytes], webhook_id: str, now: float, body: bytes) -> dict[str, str]:
    """The headers of one try. With several keys there are several signatures, so that secrets can be exchanged."""
    moment = str(int(now))
    content = b".".join([webhook_id.encode(), moment.encode(), body])
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        "content-type": "application/json",
    }
