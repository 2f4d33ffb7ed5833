"""Route tables and the pages that belong to no room become a Sanic application.

/healthz /readyz /metrics   for supervisors, gateways and Prometheus
/openapi.json /docs         the contract, and a page to read it that loads nothing from elsewhere
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sanic import Request, Sanic
from sanic.response import HTTPResponse

from server.config import Settings
from server.web import docs_page, metrics, openapi
from server.web.errors import JSON, RouteNotFound
from server.web.health import Alive, Ready
from server.web.routing import Route
from server.web.serving import Envelopes, Office, handler_of

_RELEASE: Final = "0.1.0"
_encode = msgspec.json.Encoder().encode


def assemble(settings: Settings, routes: Sequence[Route], *, name: str) -> Sanic[Any, Any]:
    """An application that serves these routes once `app.ctx.office` is set."""
    app: Sanic[Any, Any] = Sanic(name, error_handler=Envelopes(), configure_logging=False, env_prefix="CHENGXIN_SANIC_")
    app.config.update(
        {
            "REQUEST_MAX_SIZE": settings.request_max_bytes,
            "GRACEFUL_SHUTDOWN_TIMEOUT": float(settings.drain_s),
            "PROXIES_COUNT": settings.proxies_count or None,
            "FALLBACK_ERROR_FORMAT": "json",
            "ACCESS_LOG": False,
            "MOTD": False,
            "AUTO_EXTEND": False,
            "KEEP_ALIVE_TIMEOUT": 75,
            "REQUEST_TIMEOUT": 20,
            "RESPONSE_TIMEOUT": 60,
        }
    )
    app.ctx.settings = settings
    for number, route in enumerate(routes):
        app.add_route(
            handler_of(route, settings), route.path, methods=[route.method], name=f"route_{number}", stream=route.upload
        )
    _add_pages(app, routes)
    return app


def _add_pages(app: Sanic[Any, Any], routes: Sequence[Route]) -> None:
    document = openapi.document(routes, version=_RELEASE)
    described = _encode(document)
    for_page = _encode(docs_page.readable(document))

    async def alive(request: Request) -> HTTPResponse:
        return HTTPResponse(_encode(Alive()), 200, content_type=JSON)

    async def ready(request: Request) -> HTTPResponse:
        office: Office | None = getattr(request.app.ctx, "office", None)
        answer = await office.readiness.answer() if office else Ready("not_ready", {"service": "starting"})
        return HTTPResponse(_encode(answer), 503 if answer.status == "not_ready" else 200, content_type=JSON)

    async def figures(request: Request) -> HTTPResponse:
        return HTTPResponse(metrics.exposition(), 200, content_type=metrics.CONTENT_TYPE)

    async def contract(request: Request) -> HTTPResponse:
        return HTTPResponse(described, 200, content_type=JSON)

    async def contract_for_page(request: Request) -> HTTPResponse:
        return HTTPResponse(for_page, 200, content_type=JSON)

    async def page(request: Request) -> HTTPResponse:
        return HTTPResponse(docs_page.PAGE, 200, docs_page.HEADERS, "text/html; charset=utf-8")

    async def page_file(request: Request, name: str) -> HTTPResponse:
        found = docs_page.asset(name)
        if found is None:
            raise RouteNotFound
        return HTTPResponse(found[0], 200, docs_page.HEADERS, found[1])

    app.add_route(alive, "/healthz", name="alive")
    app.add_route(ready, "/readyz", name="ready")
    app.add_route(figures, "/metrics", name="metrics")
    app.add_route(contract, "/openapi.json", name="openapi")
    app.add_route(page, "/docs", name="docs")
    app.add_route(contract_for_page, docs_page.CONTRACT, name="docs_contract")
    app.add_route(page_file, "/docs/assets/<name:str>", name="docs_file")
