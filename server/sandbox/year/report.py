"""The year as a table: what each campaign and template came to, and whether every book says so."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from server.sandbox.year.account import Account, Book
from server.sandbox.year.plan import CAMPAIGNS, TEMPLATES
from server.sandbox.year.promises import IN_KIND
from server.sandbox.year.reconcile import Difference

SHOWN_DIFFERENCES = 20
_UNITS = {"minutes": "分钟", "coupons": "张券", "tickets": "张奖券"}


def show(console: Console, account: Account, expected: dict[str, Book], found: Iterable[Difference]) -> None:
    """Prints both tables, and what differs."""
    found = list(found)
    wrong = {one.key for one in found}
    console.print(_campaigns(account, expected["campaigns"], wrong))
    console.print(_templates(expected["templates"], wrong))
    city = expected["city"]["city"]
    console.print(
        f"  积分: 发放 {city['given_points']:,} = 兑换 {city['price_points']:,} + 过期 {city['expired_points']:,}"
        f" + 余额 {city['left_points']:,}    商户应收: "
        f"¥{sum(one['payable_fen'] for one in expected['merchants'].values()) / 100:,.2f}"
    )
    for one in found[:SHOWN_DIFFERENCES]:
        console.print(f"  [red]{one}[/]", soft_wrap=True)
    if len(found) > SHOWN_DIFFERENCES:
        console.print(f"  [red]… {len(found) - SHOWN_DIFFERENCES} more[/]")


def _campaigns(account: Account, book: Book, wrong: set[str]) -> Table:
    table = Table(title="活动", title_justify="left")
    for name in ("活动", "类型"):
        table.add_column(name)
    for name in ("预算积分", "发放", "结余"):
        table.add_column(name, justify="right")
    table.add_column("账本与预算")
    for one in CAMPAIGNS:
        if one.budget_points is None:
            given = f"{account.in_kind[one.key]:,} {_UNITS[IN_KIND[one.key]]}"
            table.add_row(one.title, one.kind, "—", given, "—", _sign(one.key, wrong))
        else:
            points = book[one.key]["points"]
            table.add_row(
                one.title, one.kind, f"{one.budget_points:,}", f"{points:,}", f"{one.budget_points - points:,}",
                _sign(one.key, wrong),
            )  # fmt: skip
    return table


def _templates(book: Book, wrong: set[str]) -> Table:
    table = Table(title="优惠券", title_justify="left")
    for name in ("券", "类型"):
        table.add_column(name)
    for name in ("库存", "发出", "核销", "过期", "在手", "收积分", "平台¥", "补贴方¥", "商户¥"):
        table.add_column(name, justify="right")
    table.add_column("账本与预算")
    totals = dict.fromkeys(("platform_fen", "sponsor_fen", "merchant_fen"), 0)
    for one in TEMPLATES:
        figures = book[one.key]
        for name in totals:
            totals[name] += figures[name]
        counts = [f"{figures[name]:,}" for name in ("stock", "issued", "redeemed", "expired", "live", "price_points")]
        table.add_row(one.title, one.kind, *counts, *(_yuan(figures[name]) for name in totals), _sign(one.key, wrong))
    table.add_section()
    table.add_row("合计", "", *[""] * 6, *(_yuan(fen) for fen in totals.values()), "")
    return table


def _yuan(fen: int) -> str:
    return f"{fen / 100:,.2f}"


def _sign(key: str, wrong: set[str]) -> str:
    return "[red]不符[/]" if key in wrong else "[green]相符[/]"
