"""What anybody may read without logging in. One line per route file."""

from __future__ import annotations

from server.public_api import ledger, lotteries, stock
from server.web.routing import Router

ROUTERS: list[Router] = [ledger.router, lotteries.router, stock.router]
