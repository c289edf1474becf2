"""Whose call it is."""

from __future__ import annotations

DEFAULT_TENANT = "default"
"""Owner of everything while the mesh has no authentication: every caller is this tenant."""
