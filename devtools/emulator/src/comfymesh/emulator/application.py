"""The web application of an instance: routes, and what holds for all of them."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from comfymesh.emulator.emulator import EMULATOR, Emulator
from comfymesh.emulator.routes import CORE_ROUTES, SINGLE_ROUTES
from comfymesh.emulator.wording import SERVER_ERROR

_log = logging.getLogger(__name__)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def make_application(emulator: Emulator) -> web.Application:
    """Returns the web application of an instance."""
    app = web.Application(client_max_size=emulator.settings.max_upload_bytes, middlewares=[_guard])
    app[EMULATOR] = emulator
    app.add_routes(SINGLE_ROUTES)
    app.add_routes(CORE_ROUTES)
    app.add_routes(
        web.RouteDef(route.method, "/api" + route.path, route.handler, route.kwargs) for route in CORE_ROUTES
    )
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses what web pages of other origins ask (ComfyUI protocol notes, section 12), and words what fails.

    One middleware and not two: aiohttp wraps each of them anew for every request.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site" or _is_foreign(request):
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404)
    except web.HTTPException:
        raise
    except Exception as error:  # the edge of the server: ComfyUI answers 500 with this text for anything unforeseen
        _log.info("A request failed: %s", error, extra={"path": request.path})
        return web.Response(status=500, text=SERVER_ERROR)


def _is_foreign(request: web.Request) -> bool:
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    if host is None or origin is None:
        return False
    return urlsplit(f"//{host}").hostname in _LOOPBACK and urlsplit(origin).netloc.lower() != host.lower()
