"""The counter: what phones of residents and merchants speak to. One line per route file."""

from __future__ import annotations

from miniprogram_api.merchant import sessions as merchant_sessions
from miniprogram_api.merchant import staff, terminals
from miniprogram_api.resident import campaigns, me, sessions
from server.web.routing import Router

ROUTERS: list[Router] = [
    sessions.router,
    me.router,
    campaigns.router,
    merchant_sessions.router,
    staff.router,
    terminals.router,
]
