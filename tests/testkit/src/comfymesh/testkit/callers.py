"""Who calls in tests."""

from __future__ import annotations

from comfymesh.api.access.caller import DEFAULT_TENANT, Caller
from comfymesh.api.access.scopes import ALL

ANYBODY = Caller(DEFAULT_TENANT, "anonymous", ALL)
"""A caller where callers are not authenticated."""
