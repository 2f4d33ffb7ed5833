"""The people routes on a listening socket, with the real services of the room and the real web layer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx

import miniprogram_api.resident.me
import miniprogram_api.resident.sessions
import server.admin_api.sessions
from server.kit.counts import WindowCounts
from server.kit.redis import Cache
from server.web.routing import Call, Callers, Limit, Reply, Router
from tests.support.people import Room
from tests.support.serving import application, settings
from tests.support.serving import serving as serving_app

crowded = Router(prefix="/t", tag="test")


@crowded.get(
    "/crowded", summary="crowded", replies={204: None}, caller=Callers.identity,
    limit=Limit("crowded", per_minute=2, by="device"),
)  # fmt: skip
async def come(call: Call) -> Reply:
    """Answers as often as a device may come."""
    return Reply.nothing()


ROUTERS = (
    crowded,
    miniprogram_api.resident.sessions.router,
    miniprogram_api.resident.me.router,
    server.admin_api.sessions.router,
)


@asynccontextmanager
async def serving(room: Room) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running server. The house is opened by the caller; the signing key is that of the room."""
    cache = Cache(None)
    services = SimpleNamespace(
        clock=room.clock,
        cache=cache,
        counts=WindowCounts(cache),
        sessions=room.sessions,
        residents=room.residents,
        administrators=room.administrators,
    )
    chosen = settings(token_keys="1:" + "1" * 32, login_per_minute=10_000, resident_per_minute=10_000)
    routes = [route for router in ROUTERS for route in router.routes]
    async with serving_app(application(chosen, routes, services)) as client:
        yield client
    await cache.close()
