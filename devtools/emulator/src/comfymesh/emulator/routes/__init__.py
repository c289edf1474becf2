"""The HTTP routes (ComfyUI protocol notes, section 3)."""

from __future__ import annotations

from comfymesh.emulator.routes.control import CONTROL_ROUTES
from comfymesh.emulator.routes.files import FILE_ROUTES
from comfymesh.emulator.routes.history import HISTORY_ROUTES
from comfymesh.emulator.routes.info import INFO_ROUTES, INTERNAL_ROUTES
from comfymesh.emulator.routes.jobs import JOB_ROUTES
from comfymesh.emulator.routes.prompts import PROMPT_ROUTES
from comfymesh.emulator.routes.sockets import SOCKET_ROUTES

CORE_ROUTES = (*PROMPT_ROUTES, *HISTORY_ROUTES, *FILE_ROUTES, *INFO_ROUTES, *SOCKET_ROUTES, *JOB_ROUTES)
"""Routes that exist twice, as written and below ``/api``."""
SINGLE_ROUTES = (*INTERNAL_ROUTES, *CONTROL_ROUTES)
"""Routes that exist once."""
