"""The console's routes. One line per route file."""

from __future__ import annotations

from server.admin_api import (
    administrators,
    audit,
    budgets,
    campaigns,
    dead_letters,
    dry_runs,
    experiments,
    exports,
    facts,
    grants,
    incentives,
    ledger,
    lotteries,
    merchants,
    segments,
    sessions,
    templates,
    vocabulary,
    voucher_codes,
    wallets,
)
from server.web.routing import Router

ROUTERS: list[Router] = [
    sessions.router,
    administrators.router,
    merchants.router,
    incentives.router,
    campaigns.router,
    experiments.router,
    dry_runs.router,
    templates.router,
    vocabulary.router,
    segments.router,
    budgets.router,
    facts.router,
    exports.router,
    grants.router,
    lotteries.router,
    voucher_codes.router,
    audit.router,
    dead_letters.router,
    wallets.router,
    ledger.router,
]
