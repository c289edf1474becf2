"""Routes, by what they are about."""

from comfymesh.gateway.routes.files import FILE_ROUTES
from comfymesh.gateway.routes.history import HISTORY_ROUTES
from comfymesh.gateway.routes.info import INFO_ROUTES
from comfymesh.gateway.routes.jobs import JOB_ROUTES
from comfymesh.gateway.routes.prompts import PROMPT_ROUTES
from comfymesh.gateway.routes.sockets import SOCKET_ROUTES

CORE_ROUTES = (*PROMPT_ROUTES, *HISTORY_ROUTES, *FILE_ROUTES, *INFO_ROUTES, *SOCKET_ROUTES)
"""Registered as they are, and below `/api` as well."""

SINGLE_ROUTES = JOB_ROUTES
"""Registered once."""
