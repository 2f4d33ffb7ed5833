"""The worked examples of docs/ledger.md, run as they stand: every row of the journal and the lots after every call."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.databases import Database
from tests.support.ledger import CITY, COUNTER, Ledger, open_ledger
from wallet import CouponTerms, Refused

PAPER = Path(__file__).resolve().parents[2] / "docs" / "ledger.md"
UNITS = {"points": "d_", "coupons": "c_", "fen": "f_"}


@dataclass
class Row:
    day: date | None
    operation: str
    legs: dict[str, int]
    refused: str | None
    wallet: str


def examples() -> list[Any]:
    chapter = PAPER.read_text().split("## Worked examples")[1].split("\n## ")[0]
    found = []
    for title, body in re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", chapter, re.MULTILINE | re.DOTALL):
        for number, table in enumerate(re.findall(r"(?:^\|.+\n)+", body, re.MULTILINE), 1):
            found.append(pytest.param(table, id=f"{title} {number}"))
    return found


def rows_of(table: str) -> list[Row]:
    head, _, *lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.strip().split("\n")]
    rows = []
    for line in lines:
        cells = dict(zip(head, line, strict=True))
        legs, refused = {}, None
        for unit, prefix in UNITS.items():
            text = cells.get(unit, "").replace("−", "-")
            if text.startswith("refused: "):
                refused = text.removeprefix("refused: ")
            else:
                legs |= {prefix + name: int(value) for name, value in re.findall(r"(\w+) ([+-]\d+)", text)}
        day = date.fromisoformat(cells["day"]) if cells["day"] else None
        rows.append(Row(day, cells["operation"], legs, refused, cells["wallet afterwards"]))
    return rows


def fen(yuan: str) -> int:
    whole, _, cents = yuan.partition(".")
    return int(whole) * 100 + int(cents.ljust(2, "0") or 0)


@dataclass
class Play:
    """One resident who does what a table says."""

    ledger: Ledger
    resident: int
    named: dict[str, UUID] = field(default_factory=dict)
    redeemed: dict[str, UUID] = field(default_factory=dict)

    async def do(self, operation: str) -> None:
        text, _, name = operation.partition(" as ")
        for pattern, act in (
            (r"earn (\d+) for (\d+) months?", self.earn),
            (r"spend (\d+)", self.spend),
            (r"hold (\d+) for (\d+) days", self.hold),
            (r"capture (\d+) of (\w+)", self.capture),
            (r"release (\w+)", self.release),
            (r"refund (\d+) of (\w+)", self.refund),
            (
                r"claim ¥(\d+) off from ¥(\d+) for (\d+) points, sponsor (\d+) %, valid (\d+) days",
                self.claim_amount_off,
            ),
            (r"claim (\d+) % off up to ¥(\d+), sponsor (\d+) %, valid (\d+) days", self.claim_discount),
            (r"redeem (\w+), order ¥([\d.]+)", self.redeem),
            (r"void (\w+)", self.void),
            (r"expire coupon (\w+)", self.expire_coupon),
            (r"release subsidy of (\w+)", self.release_subsidy),
        ):
            match = re.fullmatch(pattern, text)
            if match:
                done = await act(*match.groups())
                if name:
                    self.named[name] = done.result.id
                return
        raise AssertionError(f"nobody knows how to {operation!r}")

    async def earn(self, points: str, months: str) -> Any:
        return await self.ledger.earn(self.resident, await self.ledger.campaign(points=int(points), months=int(months)))

    async def spend(self, points: str) -> Any:
        return await self.ledger.app.spend(self.resident, self.ledger.id7(), points=int(points), payee=7)

    async def hold(self, points: str, days: str) -> Any:
        life_s = int(days) * 86_400
        return await self.ledger.app.hold(self.resident, self.ledger.id7(), points=int(points), payee=7, life_s=life_s)

    async def capture(self, points: str, name: str) -> Any:
        id = self.ledger.id7()
        return await self.ledger.app.capture(self.resident, id, hold_id=self.named[name], points=int(points))

    async def release(self, name: str) -> Any:
        return await self.ledger.app.release(self.resident, self.ledger.id7(), hold_id=self.named[name])

    async def refund(self, points: str, name: str) -> Any:
        id = self.ledger.id7()
        spent = self.named[name]
        return await self.ledger.app.refund(self.resident, id, posting_id=spent, points=int(points), reason="退货")

    async def claim_amount_off(self, off: str, threshold: str, price: str, sponsor: str, days: str) -> Any:
        terms = await self.ledger.template(
            face_value_fen=fen(off), threshold_fen=fen(threshold), price_points=int(price),
            sponsor_bp=int(sponsor) * 100, valid_days=int(days),
        )  # fmt: skip
        return await self.claim(terms)

    async def claim_discount(self, off: str, cap: str, sponsor: str, days: str) -> Any:
        terms = await self.ledger.template(
            kind="discount", face_value_fen=0, pay_bp=10_000 - int(off) * 100, cap_fen=fen(cap),
            sponsor_bp=int(sponsor) * 100, valid_days=int(days),
        )  # fmt: skip
        return await self.claim(terms)

    async def claim(self, terms: CouponTerms) -> Any:
        return await self.ledger.claim(self.resident, terms)

    async def redeem(self, name: str, order: str) -> Any:
        scanned = await self.ledger.scan(await self.ledger.show(self.resident, self.named[name]))
        self.redeemed[name] = scanned.redemption_id
        return await self.ledger.redeem(scanned, amount=fen(order))

    async def void(self, name: str) -> Any:
        return await self.ledger.app.void(self.redeemed[name], acceptor=COUNTER, reason="退单")

    async def expire_coupon(self, name: str) -> Any:
        coupon = self.named[name]
        return await self.ledger.worker.expire_coupon(self.resident, self.ledger.id8(), coupon_id=coupon)

    async def release_subsidy(self, name: str) -> Any:
        coupon = self.named[name]
        return await self.ledger.worker.release_subsidy(self.resident, self.ledger.id8(), coupon_id=coupon)

    async def wallet(self) -> str:
        lots = [f"{day}: {points}" for day, points in (await self.ledger.lots(self.resident)).items()]
        held = await self.ledger.owner.fetchval("SELECT points_held FROM vault.wallet WHERE owner = $1", self.resident)
        return ", ".join([*lots, f"held {held}"] if held else lots)


@pytest.mark.parametrize("table", examples())
async def test_the_paper_tells_what_the_vault_does(fresh_database: Database, table: str) -> None:
    async with open_ledger(fresh_database) as ledger:
        play = Play(ledger, await ledger.resident())
        rows = rows_of(table)
        await ledger.owner.execute("SELECT vault.ensure_partitions(1, '2026-12-01')")
        for number, row in enumerate(rows):
            if row.day is None:
                continue
            await ledger.set_clock(datetime.combine(row.day, time(12), CITY))
            await ledger.worker.ensure_partitions(1)
            if row.refused is None:
                await play.do(row.operation)
            else:
                with pytest.raises(Refused, match=f"^{row.refused}$"):
                    await play.do(row.operation)
            last = max(n for n in range(number, len(rows)) if all(one.day is None for one in rows[number + 1 : n + 1]))
            assert await play.wallet() == rows[last].wallet, f"after {row.operation}"
        booked = await ledger.owner.fetch("SELECT * FROM vault.journal WHERE owner = $1 ORDER BY seq", play.resident)
        legs = [{name: leg for name, leg in one.items() if name[:2] in UNITS.values() and leg} for one in booked]
        assert legs == [row.legs for row in rows]
        assert await ledger.broken() == []


def test_there_is_an_example_of_each_kind() -> None:
    assert len(examples()) >= 7
