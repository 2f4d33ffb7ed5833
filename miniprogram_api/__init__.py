"""The counter: what phones of residents and merchants speak to. One line per route file."""

from __future__ import annotations

from miniprogram_api.resident import me, sessions
from server.web.routing import Router

ROUTERS: list[Router] = [
    sessions.router,
    me.router,
]
