"""A ledger to play with: vaults of both roles, set-up in one line each, a clock that can be moved, and the books.

The clock belongs to the database (D11): use this on a database of the test's own.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import pytest_asyncio
from msgspec import structs

from server.kit.ids import uuid7, uuid8
from server.sandbox.moved_clock import moved_by
from tests.support.databases import Database, connected
from wallet import (
    Acceptor,
    CouponTerms,
    Done,
    EarnTerms,
    PersonLimit,
    Redeemed,
    Refused,
    ScannedCredential,
    ScopedLimit,
    Vault,
)
from wallet.audit import prove

CITY = ZoneInfo("Asia/Shanghai")
JOB_KEY = b"job key of the tests, 32 bytes.."
PLENTY = 1_000_000
COUNTER = Acceptor(merchant_id=1, store_id=11, terminal_id=111, staff_id=1111)
SECOND_TERMINAL = Acceptor(merchant_id=1, store_id=11, terminal_id=112, staff_id=1111)
OTHER_STORE = Acceptor(merchant_id=1, store_id=12, terminal_id=121, staff_id=1111)
OTHER_MERCHANT = Acceptor(merchant_id=2, store_id=21, terminal_id=211, staff_id=2111)
COUNTERS = (COUNTER, SECOND_TERMINAL, OTHER_STORE, OTHER_MERCHANT)
#: Where each store is.
TOWNS = {11: "南街", 12: "北街", 21: "北街"}
_jobs = itertools.count(1)


@dataclass(frozen=True)
class Showing:
    """One code of a coupon, before anybody scanned it."""

    resident: int
    coupon: UUID
    handle: int
    credential: UUID


class Ledger:
    """One database's vault, from all sides."""

    def __init__(self, database: Database, app: Vault, worker: Vault, owner: asyncpg.Connection) -> None:
        self.database, self.app, self.worker, self.owner = database, app, worker, owner
        self._numbers = itertools.count(1001)
        self._offset_s = 0.0
        self._stopped: datetime | None = None

    # -- clock --------------------------------------------------------------------------------------------------------

    async def move_clock(self, **by: float) -> None:
        """Moves the vault's clock by a `timedelta(**by)`; negative goes back."""
        self._stopped = None
        self._offset_s += timedelta(**by).total_seconds()
        await self.owner.execute(moved_by(timedelta(seconds=self._offset_s)))

    async def set_clock(self, at: datetime) -> None:
        """Moves the vault's clock to an instant; it goes on running from there."""
        await self.move_clock(seconds=(at - self.now()).total_seconds())

    async def restore_clock(self) -> None:
        await self.move_clock(seconds=-self._offset_s)

    async def stop_clock(self, at: datetime) -> None:
        """The vault's clock stands still at this instant, to the microsecond, until it is stopped elsewhere."""
        if self._stopped is None:
            await self.owner.execute(
                "CREATE TABLE IF NOT EXISTS vault.stopped_clock (at timestamptz NOT NULL);"
                "GRANT SELECT ON vault.stopped_clock TO chengxin_app, chengxin_worker;"
                "TRUNCATE vault.stopped_clock; INSERT INTO vault.stopped_clock VALUES (clock_timestamp());"
                "CREATE OR REPLACE FUNCTION vault.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
                "$$SELECT c.at FROM vault.stopped_clock c$$"
            )
        await self.owner.execute("UPDATE vault.stopped_clock SET at = $1", at)
        self._stopped = at

    def now(self) -> datetime:
        return self._stopped or datetime.now(UTC) + timedelta(seconds=self._offset_s)

    def today(self) -> date:
        return self.now().astimezone(CITY).date()

    # -- ids ----------------------------------------------------------------------------------------------------------

    def id7(self, **ago: float) -> UUID:
        return uuid7(self.now() - timedelta(**ago))

    def id8(self, **ago: float) -> UUID:
        return uuid8(self.now() - timedelta(**ago), "test", str(next(_jobs)), JOB_KEY)

    def number_from(self, first: int) -> None:
        """The next numbers begin here, so that another process may go on in the same database."""
        self._numbers = itertools.count(first)

    def number(self) -> int:
        return next(self._numbers)

    # -- set-up -------------------------------------------------------------------------------------------------------

    async def resident(self, points: int = 0, *, b: int | None = None) -> int:
        """A resident with a wallet, in the bucket `b` when one is wanted."""
        resident = 7_000_000 + self.number()
        if b is not None:
            resident = resident * 1024 + b
        await self.app.open_wallet(resident)
        if points:
            await self.earn(resident, await self.campaign(points=points, total=points))
        return resident

    async def budget(self, unit: str, total: int, *, opened: bool = True) -> int:
        budget = self.number()
        await self.app.create_budget(budget, unit)
        if total:
            await self.top_up(budget, total)
        if opened:
            await self.app.open_budget(budget)
        return budget

    async def top_up(self, budget: int, amount: int, kind: str = "topup") -> UUID:
        entry = self.id7()
        await self.app.budget_entry(budget, entry, kind, amount, 1, 2, "doc 1")
        return entry

    async def campaign(
        self,
        *,
        points: int = 100,
        total: int = PLENTY,
        months: int = 12,
        per_person: int = 1000,
        budget: int | None = None,
        person_limits: tuple[PersonLimit, ...] = (),
        scoped_limits: tuple[ScopedLimit, ...] = (),
    ) -> int:
        terms = self.number()
        budget = budget or await self.budget("points", total)
        limits = person_limits or (PersonLimit(limit_id=f"campaign:{terms}", cap=per_person, action="earn"),)
        await self.worker.put_earn_terms(
            EarnTerms(
                id=terms, points_budget=budget, points=points, validity_months=months, person_limits=limits,
                scoped_limits=scoped_limits,
            )
        )  # fmt: skip
        return terms

    async def template(
        self, *, stock: int = 1000, fen: int = PLENTY, per_person: int = 1000, **changes: Any
    ) -> CouponTerms:
        """Coupon terms: 10 yuan off, the sponsor pays all of it, 30 days, any merchant, void within half an hour."""
        changes.setdefault("stock_budget", None)
        if changes["stock_budget"] is None:
            changes["stock_budget"] = await self.budget("coupons", stock)
        if "fen_budget" not in changes:
            changes["fen_budget"] = await self.budget("fen", fen)
        number = self.number()
        plain = CouponTerms(
            id=number,
            template_id=number,
            version=1,
            kind="amount_off",
            stock_budget=0,
            fen_budget=None,
            price_points=0,
            face_value_fen=1000,
            pay_bp=0,
            cap_fen=0,
            threshold_fen=0,
            sponsor_bp=10_000,
            merchant_bp=0,
            person_limits=(),
            valid_days=30,
            valid_until=None,
            merchants=(),
            void_window_s=1800,
            return_stock=False,
            claim_from=None,
            claim_until=None,
        )
        changes.setdefault("merchant_bp", 10_000 - changes.get("platform_bp", 0) - changes.get("sponsor_bp", 10_000))
        template = changes.get("template_id", number)
        limit = PersonLimit(limit_id=f"template:{template}", cap=per_person, action="issue")
        terms = structs.replace(plain, **{"person_limits": (limit,), **changes})
        await self.app.put_coupon_terms(terms)
        return terms

    # -- the way of one coupon ----------------------------------------------------------------------------------------

    async def earn(
        self, resident: int, terms: int, *, id: UUID | None = None, on: date | None = None, town: str | None = None
    ) -> Any:
        return await self.worker.earn(resident, id or self.id8(), terms, on or self.today(), town=town)

    async def claim(
        self,
        resident: int,
        terms: CouponTerms,
        *,
        id: UUID | None = None,
        town: str | None = None,
        vault: Vault | None = None,
    ) -> Any:
        return await (vault or self.app).claim(
            resident, id or self.id7(), template_id=terms.template_id, terms_id=terms.id, town=town
        )

    async def coupon(self, resident: int, terms: CouponTerms) -> UUID:
        return (await self.claim(resident, terms)).result.coupon_id

    async def show(self, resident: int, coupon: UUID, *, ttl_s: int = 600) -> Showing:
        credential, handle = self.id7(), secrets.randbelow(10**10)
        issued = await self.app.issue_credentials(resident, coupon, [credential], [handle], [ttl_s])
        assert [one.credential_id for one in issued] == [credential]
        return Showing(resident, coupon, handle, credential)

    async def scan(
        self, showing: Showing, at: Acceptor = COUNTER, *, code_ok: bool = True, own: int | None = None
    ) -> ScannedCredential:
        return await self.app.scan(
            showing.handle, code_ok=code_ok, acceptor=at, own_resident=own, redemption_id=self.id7(), void_id=self.id7()
        )

    async def redeem(
        self,
        scanned: ScannedCredential,
        at: Acceptor = COUNTER,
        *,
        amount: int | None = None,
        order_no: str | None = None,
        ticket_s: float = 300,
        vault: Vault | None = None,
    ) -> Done[Redeemed]:
        return await (vault or self.app).redeem(
            owner=scanned.owner,
            credential_id=scanned.credential_id,
            redemption_id=scanned.redemption_id,
            acceptor=at,
            ticket_expires_at=self.now() + timedelta(seconds=ticket_s),
            order_amount_fen=amount,
            order_no=order_no,
            counted=scanned.counted,
        )

    async def scanned(
        self, terms: CouponTerms, resident: int | None = None, at: Acceptor = COUNTER
    ) -> ScannedCredential:
        """A code at the counter, ready to be redeemed."""
        resident = resident or await self.resident()
        return await self.scan(await self.show(resident, await self.coupon(resident, terms)), at)

    async def redeemed(self, terms: CouponTerms, *, amount: int | None = None) -> Redeemed:
        return (await self.redeem(await self.scanned(terms), amount=amount)).result

    # -- the books ----------------------------------------------------------------------------------------------------

    async def row(self, resident: int, id: UUID) -> asyncpg.Record | None:
        return await self.owner.fetchrow(
            "SELECT * FROM vault.journal WHERE b = $1 AND owner = $2 AND id = $3", resident & 1023, resident, id
        )

    async def legs(self, resident: int, id: UUID) -> dict[str, int]:
        """The legs of one row that are neither NULL nor zero."""
        row = await self.row(resident, id)
        assert row is not None, f"no journal row {id}"
        return {name: value for name, value in row.items() if name[:2] in ("d_", "c_", "f_") and value}

    async def rows(self, resident: int) -> int:
        return await self.owner.fetchval(
            "SELECT count(*) FROM vault.journal WHERE b = $1 AND owner = $2", resident & 1023, resident
        )

    async def lots(self, resident: int) -> dict[date, int]:
        row = await self.owner.fetchrow(
            "SELECT lot_expiry, lot_points FROM vault.wallet WHERE b = $1 AND owner = $2", resident & 1023, resident
        )
        return dict(zip(row["lot_expiry"], row["lot_points"], strict=True))

    async def balance(self, resident: int) -> int:
        """The booked balance, expired lots included until they are booked."""
        return await self.owner.fetchval(
            "SELECT points_avail FROM vault.wallet WHERE b = $1 AND owner = $2", resident & 1023, resident
        )

    async def coupon_row(self, resident: int, coupon: UUID) -> asyncpg.Record:
        return await self.owner.fetchrow(
            "SELECT * FROM vault.coupon WHERE b = $1 AND owner = $2 AND id = $3", resident & 1023, resident, coupon
        )

    async def left(self, budget: int | None) -> int:
        return (await self.app.budgets([budget]))[budget].left

    async def last_scan(self, showing: Showing) -> str:
        return await self.owner.fetchval(
            "SELECT result FROM vault.scan_log WHERE credential_id = $1 ORDER BY id DESC LIMIT 1", showing.credential
        )

    async def broken(self) -> list[str]:
        """The names of the checks that do not hold, with what they found."""
        return [f"{one.check}: {one.examples}" for one in await prove(self.database.worker) if one.broken]


async def post(connection: asyncpg.Connection, function: str, *items: dict[str, Any], lane: int = 0) -> list[Any]:
    """Posts raw items as a caller with a free hand would: (status, replayed, answer) of each."""
    numbered = [{"n": n, **item} for n, item in enumerate(items)]
    b = next((item["b"] for item in items if item.get("b") is not None), 0)
    rows = await connection.fetch(
        f"SELECT * FROM vault.{function}($1::smallint, $2::jsonb, $3::smallint)",
        b,
        json.dumps(numbered, default=str),
        lane,
    )
    return [(row["status"], row["replayed"], row["answer"] and json.loads(row["answer"])) for row in rows]


def refusal(code: str) -> Any:
    """The block is refused with exactly this code."""
    return pytest.raises(Refused, match=f"^{code}$")


@asynccontextmanager
async def open_ledger(database: Database, **vault: Any) -> AsyncIterator[Ledger]:
    """Vaults of both roles on a database, with two merchants ready at their counters."""
    async with AsyncExitStack() as opened:
        owner = await opened.enter_async_context(connected(database.owner))
        app = await Vault.connect(database.app, role="app", **vault)
        opened.push_async_callback(app.close)
        worker = await Vault.connect(database.worker, role="worker")
        opened.push_async_callback(worker.close)
        ledger = Ledger(database, app, worker, owner)
        for place in COUNTERS:
            await app.set_acceptor("merchant", place.merchant_id, place.merchant_id, None, True)
            town = TOWNS[place.store_id]
            await app.set_acceptor("store", place.store_id, place.merchant_id, place.store_id, True, town)
            await app.set_acceptor("terminal", place.terminal_id, place.merchant_id, place.store_id, True)
            await app.set_acceptor("staff", place.staff_id or 0, place.merchant_id, None, True)
        yield ledger


@pytest_asyncio.fixture(scope="module")
async def module_ledger(database: Database) -> AsyncIterator[Ledger]:
    """The ledger of a module's tests; after the last of them the books are proven."""
    async with open_ledger(database) as ledger:
        yield ledger
        assert await ledger.broken() == []


@pytest_asyncio.fixture
async def ledger(module_ledger: Ledger) -> AsyncIterator[Ledger]:
    """The module's ledger; after each test the clock is set right."""
    yield module_ledger
    await module_ledger.restore_clock()
