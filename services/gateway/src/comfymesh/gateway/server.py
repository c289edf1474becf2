"""The web server: routes, and what holds for all of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from comfymesh.client import ComfyMeshError
from comfymesh.gateway.domain import credentials, refusals
from comfymesh.gateway.domain.refusals import Refusal, RefusedError
from comfymesh.gateway.domain.submission import ShapelessError
from comfymesh.gateway.mesh import serve_as
from comfymesh.gateway.routes import CORE_ROUTES, SINGLE_ROUTES
from comfymesh.gateway.state import GATEWAY, Gateway

logger = logging.getLogger(__name__)

_STUMBLED = "500 Internal Server Error\n\nServer got itself in trouble"
"""What ComfyUI says of a body that it can't make sense of."""


def _hide_request(record: logging.LogRecord) -> bool:
    """Aiohttp shows the line of a request that it can't read, and keys may stand there."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "a request can't be read: %s", (type(error).__name__,)
        record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
    return True


_http_logger = logging.getLogger(f"{__name__}.http")
_http_logger.addFilter(_hide_request)


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[str]:
    """Listen; answers the address."""
    runner = web.AppRunner(
        application(gateway), logger=_http_logger, access_log=None, shutdown_timeout=2.0, handle_signals=False
    )
    await runner.setup()
    try:
        host, _, port = gateway.settings.gateway_listen.rpartition(":")
        await web.TCPSite(runner, host.strip("[]"), int(port), backlog=1024).start()
        where = runner.addresses[0]
        yield f"http://{where[0]}:{where[1]}"
    finally:
        await runner.cleanup()


def application(gateway: Gateway) -> web.Application:
    """The web application of a gateway."""
    app = web.Application(client_max_size=gateway.settings.gateway_max_upload_bytes, middlewares=[_cut, _word, _let_in])
    app[GATEWAY] = gateway
    app.add_routes(SINGLE_ROUTES)
    app.add_routes(CORE_ROUTES)
    app.add_routes(
        web.RouteDef(route.method, "/api" + route.path, route.handler, route.kwargs) for route in CORE_ROUTES
    )
    return app


@web.middleware
async def _cut(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ends the connection where an answer broke off: another answer would be taken for the rest of it."""
    answer = await handler(request)
    if not answer.prepared and request.writer.output_size:
        raise ConnectionAbortedError("the answer broke off")
    return answer


@web.middleware
async def _let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses pages of other origins, and calls the mesh as who asks. A connection may be shared by several."""
    allowed = request.app[GATEWAY].settings.gateway_allow_origin
    if credentials.is_foreign(request.headers, allowed):
        return web.Response(status=403)
    shared = _shared_with(request, allowed)
    if request.method == "OPTIONS":
        return web.Response(headers=shared)
    serve_as(credentials.key(request.headers, request.query))
    answer = await handler(request)
    if not answer.prepared:
        answer.headers.update(shared)
    return answer


def _shared_with(request: web.Request, allowed: str) -> dict[str, str]:
    """What lets a page of the allowed origin read the answer."""
    if not allowed or request.headers.get("Origin") != allowed:
        return {}
    return {
        "Access-Control-Allow-Origin": allowed,
        "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type, Authorization, X-API-Key, Comfy-User",
        "Vary": "Origin",
    }


@web.middleware
async def _word(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Words what goes wrong, as ComfyUI would where it has a word for it."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404)
    except web.HTTPException:
        raise
    except ShapelessError:
        return web.Response(status=500, text=_STUMBLED)
    except RefusedError as error:
        return _answer(error.refusal)
    except ComfyMeshError as error:
        refusal = refusals.of(error)
        if refusal.status >= 500:
            logger.warning("the mesh did not serve a request: %s", error, extra={"action": "mesh_failed"})
        return _answer(refusal)
    except ConnectionError:
        raise  # the client has gone
    except Exception:
        # The edge of the process: whatever this is, other requests go on.
        logger.exception("a request has met a defect", extra={"action": "request_failed", "path": request.path[:256]})
        return web.Response(status=500, text=_STUMBLED)


def _answer(refusal: Refusal) -> web.Response:
    return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
