"""What the house says of the year: the ledger's journal, read row by row, and the views that its API shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from server.sandbox.year.account import Book
from server.sandbox.year.console import Office
from server.sandbox.year.plan import CAMPAIGNS


@dataclass(slots=True)
class Ids:
    """The house's ids by the plan's keys."""

    campaigns: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    merchants: dict[str, str] = field(default_factory=dict)
    residents: dict[str, str] = field(default_factory=dict)
    lottery: str = ""


_EARNED: Final = """
SELECT v.campaign_id::text AS id, sum(j.d_avail)::bigint AS points
FROM vault.journal_all j JOIN campaign_version v ON v.id = j.terms WHERE j.op = 1 AND j.st = 0 GROUP BY 1
"""
_COUPONS: Final = """
SELECT t.template::text AS id, count(*) FILTER (WHERE j.op = 2) AS issued,
  -coalesce(sum(j.c_stock), 0)::bigint AS taken,
  sum(j.c_used)::bigint AS redeemed, sum(j.c_gone)::bigint AS expired, sum(j.c_out)::bigint AS live,
  coalesce(sum(j.d_peer), 0)::bigint AS price_points, coalesce(sum(j.f_payable), 0)::bigint AS paid_fen,
  coalesce(sum(j.f_reserved), 0)::bigint AS reserved_fen
FROM vault.journal_all j JOIN vault.coupon_terms t ON t.terms = j.terms WHERE j.op IN (2, 3, 4, 5, 6) AND j.st = 0
GROUP BY 1
"""
_SHARES: Final = """
SELECT t.template::text AS id, sum(r.platform_fen)::bigint AS platform_fen, sum(r.sponsor_fen)::bigint AS sponsor_fen,
  sum(r.merchant_fen)::bigint AS merchant_fen
FROM vault.redemption r JOIN vault.coupon_terms t ON t.terms = r.terms
WHERE NOT EXISTS (SELECT FROM vault.redemption_void v WHERE v.b = r.b AND v.redemption_id = r.id) GROUP BY 1
"""
_STOCK: Final = """
SELECT t.template::text AS id, sum(CASE e.kind WHEN 'cut' THEN -e.amount ELSE e.amount END)::bigint AS stock
FROM vault.budget_entry e JOIN (SELECT DISTINCT template, stock_budget FROM vault.coupon_terms) t
  ON t.stock_budget = e.budget GROUP BY 1
"""
_MERCHANTS: Final = """
SELECT peer::text AS id, sum(f_payable)::bigint AS payable_fen FROM vault.journal_all
WHERE op IN (3, 4) AND st = 0 AND f_payable <> 0 GROUP BY 1 HAVING sum(f_payable) <> 0
"""
_WALLETS: Final = """
SELECT owner::text AS id, coalesce(sum(d_avail), 0)::bigint AS points FROM vault.journal_all WHERE st = 0 GROUP BY 1
"""
_CITY: Final = """
SELECT coalesce(sum(d_avail) FILTER (WHERE op = 1), 0)::bigint AS given_points,
  coalesce(-sum(d_avail) FILTER (WHERE op = 2), 0)::bigint AS price_points,
  coalesce(-sum(d_avail) FILTER (WHERE op = 7), 0)::bigint AS expired_points,
  coalesce(sum(d_avail), 0)::bigint AS left_points
FROM vault.journal_all WHERE st = 0
"""

#: Figures of a template as the ledger and as the views have them.
LEDGER_FIGURES: Final = (
    "stock", "issued", "left", "redeemed", "expired", "live", "price_points", "platform_fen", "sponsor_fen",
    "merchant_fen", "paid_fen", "reserved_fen",
)  # fmt: skip
VIEW_FIGURES: Final = ("stock", "issued", "left", "redeemed", "expired", "live", "paid_fen", "reserved_fen")


@dataclass(frozen=True, slots=True)
class Books:
    """Campaigns, templates, residents, merchants and the city as one place has them."""

    campaigns: Book
    templates: Book
    residents: Book
    merchants: Book
    city: Book


async def ledger(dsn: str, ids: Ids) -> Books:
    """From the journal's rows alone, at one instant; `dsn` of a role that reads."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            earned, coupons, shares, stock, owed, wallets, city = [
                await connection.fetch(sql) for sql in (_EARNED, _COUPONS, _SHARES, _STOCK, _MERCHANTS, _WALLETS, _CITY)
            ]
    finally:
        await connection.close()
    templates = _by_key(ids.templates, coupons, shares, stock)
    for one in templates.values():
        one["left"] = one["stock"] - one.pop("taken", 0)
        for figure in LEDGER_FIGURES:
            one.setdefault(figure, 0)
    campaigns = _by_key(ids.campaigns, earned)
    for planned in CAMPAIGNS:
        if planned.budget_points is not None:
            campaigns.setdefault(planned.key, {"points": 0})
    residents = _by_key(ids.residents, wallets)
    for key in ids.residents:
        residents.setdefault(key, {"points": 0})
    return Books(campaigns, templates, residents, _by_key(ids.merchants, owed), {"city": dict(city[0])})


def _by_key(ids: Mapping[str, str], *tables: list[Any]) -> Book:
    """Rows of several tables by the plan's keys; an id that the plan does not know stands under itself, and differs."""
    keys = {id: key for key, id in ids.items()}
    book: Book = {}
    for rows in tables:
        for row in rows:
            told = dict(row)
            id = told.pop("id")
            book.setdefault(keys.get(id, f"#{id}"), {}).update(told)
    return book


async def views(office: Office, ids: Ids) -> tuple[Book, Book]:
    """Campaigns and templates as budget views and public counters show them."""
    campaigns: Book = {}
    for key, id in ids.campaigns.items():
        shown = await office.call("editor", "GET", f"/campaigns/{id}")
        for budget in shown["budgets"]:
            _adds_up(budget)
            withheld = (shown.get("withheld") or {}).get("points") or 0  # null: a small cell
            campaigns[key] = {"points": budget["consumed"], "withheld_points": withheld}
    templates: Book = {}
    for key, id in ids.templates.items():
        shown = await office.call("editor", "GET", f"/coupon-templates/{id}")
        counters = await office.public(f"/coupon-templates/{id}/stock")
        budgets = {one["unit"]: one for one in shown["budgets"]}
        coupons, fen = budgets["coupons"], budgets["fen"]
        for budget in budgets.values():
            _adds_up(budget)
        if coupons["consumed"] + coupons["reserved"] != counters["claimed"] - counters["returned"]:
            raise ValueError(f"{key}: the budget view and the public counters differ: {coupons}, {counters}")
        templates[key] = {
            "stock": coupons["total"], "issued": counters["claimed"], "left": coupons["left"],
            "redeemed": counters["redeemed"], "expired": counters["expired"], "live": coupons["reserved"],
            "paid_fen": fen["consumed"], "reserved_fen": fen["reserved"],
        }  # fmt: skip
    return campaigns, templates


def _adds_up(budget: Mapping[str, int]) -> None:
    if budget["total"] != budget["left"] + budget["reserved"] + budget["consumed"]:
        raise ValueError(f"a budget view that does not add up: {dict(budget)}")
