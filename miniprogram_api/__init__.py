"""The counter: what phones of residents and merchants speak to. One line per route file."""

from __future__ import annotations

from miniprogram_api.merchant import redemptions, staff, terminals
from miniprogram_api.merchant import sessions as merchant_sessions
from miniprogram_api.resident import (
    campaigns,
    choices,
    coupons,
    credentials,
    events,
    free_minutes,
    lotteries,
    me,
    notices,
    places,
    sessions,
    voucher_codes,
    wallet,
)
from server.web.routing import Router

ROUTERS: list[Router] = [
    sessions.router,
    me.router,
    choices.router,
    notices.router,
    wallet.router,
    campaigns.router,
    free_minutes.router,
    coupons.router,
    places.router,
    lotteries.router,
    voucher_codes.router,
    credentials.router,
    events.router,
    merchant_sessions.router,
    staff.router,
    terminals.router,
    redemptions.router,
]
