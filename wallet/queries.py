"""What may be read from the vault, typed. Reads take no locks and decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal
from uuid import UUID

from wallet.due import Due
from wallet.items import bucket_of
from wallet.offers import Offers
from wallet.statements import Statements

# A coupon whose last day is over is expired, whether or not a job has booked it.
STATE_NOW = "CASE WHEN c.state = 'issued' AND c.expires_on < vault.today() THEN 'expired' ELSE c.state END"

# The first day on which a coupon can be used, and the first instant from now on (in the vault: first_day).
FIRST_DAY = "greatest((c.issued_at AT TIME ZONE vault.zone())::date + t.starts_after_days, t.valid_from)"
USABLE_AT = f"vault.usable_next(c.terms, {FIRST_DAY}, c.expires_on, n.now)"

CouponState = Literal["issued", "locked", "redeemed", "expired", "voided"]


@dataclass(frozen=True, slots=True)
class BudgetLevel:
    """How full a budget is: top-ups minus cuts, or the cap of a counter; what is left; whether it may be taken from."""

    total: int
    left: int
    open: bool


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget's state: `total` is every top-up minus every cut, of a counter every cap that its terms set; total =
    left + reserved + consumed. Reserved is what issued coupons still hold."""

    unit: str
    total: int
    left: int
    reserved: int
    consumed: int
    open: bool


@dataclass(frozen=True, slots=True)
class CouponView:
    """A resident's coupon. It can be used from one day through the other; `usable_at`: the next instant at which it
    can, None when it never can again; `usable_now`: that instant is now."""

    id: UUID
    terms_id: int
    template_id: int
    state: CouponState
    usable_from: date
    expires_on: date
    usable_at: datetime | None
    usable_now: bool
    issued_at: datetime
    redemption_id: UUID | None
    redeemed_at: datetime | None


@dataclass(frozen=True, slots=True)
class RedemptionView:
    """A redemption as its merchant may see it: no resident in it. `platform_fen` and `sponsor_fen` are paid to him,
    `merchant_fen` he bears himself."""

    id: UUID
    terms_id: int
    store_id: int
    terminal_id: int
    staff_id: int | None
    order_no: str | None
    order_amount_fen: int | None
    discount_fen: int
    platform_fen: int
    sponsor_fen: int
    merchant_fen: int
    business_date: date
    at: datetime
    void_until: datetime
    voided_at: datetime | None
    void_reason: str | None


class Queries(Due, Statements, Offers):
    """Reads over one pool; what is due for jobs is in `wallet.due`, how a wallet stands and stood in
    `wallet.statements`, what terms are for one resident in `wallet.offers`."""

    async def seqs(self, resident_ids: Sequence[int]) -> dict[int, int]:
        """The last sequence number of each wallet: one read for everybody who waits for news."""
        rows = await self._pool.fetch(
            """SELECT w.owner, w.seq FROM unnest($1::smallint[], $2::bigint[]) k (b, owner)
            JOIN vault.wallet w ON w.b = k.b AND w.owner = k.owner""",
            [bucket_of(one) for one in resident_ids],
            list(resident_ids),
        )
        return {row["owner"]: row["seq"] for row in rows}

    async def coupons(
        self, resident_id: int, *, state: str | None, before: UUID | None, limit: int
    ) -> list[CouponView]:
        """A resident's coupons, newest first; `before` is the last id of the page before."""
        return await self._coupons(
            f"AND ($3::text IS NULL OR {STATE_NOW} = $3) AND ($4::uuid IS NULL OR c.id < $4)"
            " ORDER BY c.id DESC LIMIT $5",
            resident_id,
            state,
            before,
            limit,
        )

    async def expiring_coupons(
        self, resident_id: int, *, after: tuple[date, UUID] | None, limit: int
    ) -> list[CouponView]:
        """A resident's coupons that are not used yet, the first to expire first; `after` is the last of the page
        before."""
        day, id = after or (None, None)
        return await self._coupons(
            "AND c.state IN ('issued', 'locked') AND c.expires_on >= vault.today()"
            " AND ($3::date IS NULL OR (c.expires_on, c.id) > ($3, $4::uuid)) ORDER BY c.expires_on, c.id LIMIT $5",
            resident_id,
            day,
            id,
            limit,
        )

    async def coupon_counts(self, resident_id: int) -> dict[CouponState, int]:
        """How many coupons a resident has in each state."""
        rows = await self._pool.fetch(
            f"SELECT {STATE_NOW} AS state, count(*) AS n FROM vault.coupon c"  # noqa: S608
            " WHERE c.b = $1 AND c.owner = $2 GROUP BY 1",
            bucket_of(resident_id),
            resident_id,
        )
        return {row["state"]: row["n"] for row in rows}

    async def coupon(self, resident_id: int, coupon_id: UUID) -> CouponView | None:
        """One coupon of this resident, None when there is none."""
        found = await self._coupons("AND c.id = $3", resident_id, coupon_id)
        return found[0] if found else None

    async def _coupons(self, condition: str, resident_id: int, *args: object) -> list[CouponView]:
        rows = await self._pool.fetch(
            f"""SELECT c.id, c.terms, t.template, c.expires_on, c.issued_at, c.redemption_id, r.at AS redeemed_at,
            {STATE_NOW} AS state, {FIRST_DAY} AS usable_from, n.now,
            CASE WHEN c.state IN ('issued', 'locked') THEN {USABLE_AT} END AS usable_at
            FROM (SELECT vault.now() AS now) n, vault.coupon c JOIN vault.coupon_terms t ON t.terms = c.terms
            LEFT JOIN vault.redemption r ON r.b = c.b AND r.id = c.redemption_id
            WHERE c.b = $1 AND c.owner = $2 {condition}""",  # noqa: S608
            bucket_of(resident_id),
            resident_id,
            *args,
        )
        return [
            CouponView(
                row["id"],
                row["terms"],
                row["template"],
                row["state"],
                row["usable_from"],
                row["expires_on"],
                row["usable_at"],
                row["usable_at"] == row["now"] and row["state"] == "issued",
                row["issued_at"],
                row["redemption_id"],
                row["redeemed_at"],
            )
            for row in rows
        ]

    async def usable_next(self, handle: int) -> datetime | None:
        """The first instant from now on at which the coupon behind a handle can be used; None: never again."""
        at: datetime | None = await self._pool.fetchval(
            f"""SELECT {USABLE_AT} FROM (SELECT vault.now() AS now) n, vault.credential_handle h
            JOIN vault.credential s ON s.b = h.b AND s.id = h.credential_id
            JOIN vault.coupon c ON c.b = s.b AND c.owner = s.owner AND c.id = s.coupon_id
            JOIN vault.coupon_terms t ON t.terms = c.terms WHERE h.handle = $1""",  # noqa: S608
            handle,
        )
        return at

    async def redemptions(
        self, merchant_id: int, *, store_id: int | None, business_date: date | None, before: UUID | None, limit: int
    ) -> list[RedemptionView]:
        """A merchant's redemptions, newest first."""
        rows = await self._pool.fetch(
            """SELECT r.*, v.at AS voided_at, v.reason AS void_reason FROM vault.redemption r
            LEFT JOIN vault.redemption_void v ON v.b = r.b AND v.redemption_id = r.id
            WHERE r.merchant_id = $1 AND ($2::bigint IS NULL OR r.store_id = $2) AND ($3::date IS NULL OR
            r.business_date = $3)
            AND ($4::uuid IS NULL OR r.id < $4) ORDER BY r.id DESC LIMIT $5""",
            merchant_id,
            store_id,
            business_date,
            before,
            limit,
        )
        return [
            RedemptionView(
                row["id"],
                row["terms"],
                row["store_id"],
                row["terminal_id"],
                row["staff_id"],
                row["order_no"],
                row["order_amount_fen"],
                row["discount_fen"],
                row["platform_fen"],
                row["sponsor_fen"],
                row["merchant_fen"],
                row["business_date"],
                row["at"],
                row["void_until"],
                row["voided_at"],
                row["void_reason"],
            )
            for row in rows
        ]

    async def credential(self, resident_id: int, credential_id: UUID) -> tuple[int, str, datetime, datetime] | None:
        """Handle, state, issue and expiry of a showing of this resident's, None when there is none."""
        row = await self._pool.fetchrow(
            "SELECT handle, state, issued_at, expires_at FROM vault.credential WHERE b = $1 AND id = $2 AND owner = $3",
            bucket_of(resident_id),
            credential_id,
            resident_id,
        )
        return None if row is None else (row["handle"], row["state"], row["issued_at"], row["expires_at"])

    async def due_coupons(self, since: date | None, limit: int) -> list[tuple[int, UUID, date]]:
        """Issued coupons whose last day is over, and was not before `since`: (resident, coupon, last day)."""
        rows = await self._pool.fetch(
            "SELECT owner, id, expires_on FROM vault.coupon WHERE state = 'issued' AND expires_on < vault.today()"
            " AND expires_on >= $1 LIMIT $2",
            since or date.min,
            limit,
        )
        return [(row["owner"], row["id"], row["expires_on"]) for row in rows]

    async def due_releases(self, since: datetime | None, limit: int) -> list[tuple[int, UUID, datetime, UUID]]:
        """Redeemed coupons that hold a reserve after the void window, which closed at `since` or later: (resident,
        coupon, window's end, redemption)."""
        rows = await self._pool.fetch(
            """SELECT c.owner, c.id, r.void_until, r.id AS redemption_id FROM vault.redemption r
            JOIN vault.coupon c ON c.b = r.b AND c.owner = r.owner AND c.id = r.coupon_id AND c.redemption_id = r.id
            WHERE c.state = 'redeemed' AND c.reserved_fen > 0 AND r.void_until < vault.now() AND r.void_until >= $1
            LIMIT $2""",
            since or datetime.min.replace(tzinfo=UTC),
            limit,
        )
        return [(row["owner"], row["id"], row["void_until"], row["redemption_id"]) for row in rows]

    async def budget_levels(self, ids: Sequence[int]) -> dict[int, BudgetLevel]:
        """How full budgets are, exactly: what was put in, what is left, whether it may be taken from."""
        rows = await self._pool.fetch(
            """SELECT g.budget,
              (SELECT coalesce(sum(CASE e.kind WHEN 'cut' THEN -e.amount ELSE e.amount END), 0)
               FROM vault.budget_entry e WHERE e.budget = g.budget)::bigint AS total,
              (g.reserve + coalesce(s.avail, 0))::bigint AS remaining, s.open
            FROM vault.budget g, LATERAL (SELECT sum(s.avail) AS avail, bool_and(s.open) AS open
              FROM vault.slot s WHERE s.budget = g.budget) s
            WHERE g.budget = ANY ($1::bigint[])""",
            list(ids),
        )
        return {row["budget"]: BudgetLevel(row["total"], row["remaining"], row["open"]) for row in rows}

    async def budgets(self, ids: Sequence[int]) -> dict[int, BudgetView]:
        """The exact state of budgets."""
        rows = await self._pool.fetch(
            """SELECT g.budget, g.unit,
              (SELECT coalesce(sum(CASE e.kind WHEN 'cut' THEN -e.amount ELSE e.amount END), 0) FROM
              vault.budget_entry e
               WHERE e.budget = g.budget)::bigint AS total,
              (g.reserve + (SELECT coalesce(sum(s.avail), 0) FROM vault.slot s WHERE s.budget = g.budget))::bigint AS
              remaining,
              (SELECT bool_and(s.open) FROM vault.slot s WHERE s.budget = g.budget) AS open,
              CASE g.unit
                WHEN 'coupons' THEN (SELECT count(*) FROM vault.coupon_terms t JOIN vault.coupon c ON c.terms = t.terms
                                     WHERE t.stock_budget = g.budget AND c.state IN ('issued', 'locked'))
                WHEN 'fen' THEN (SELECT coalesce(sum(c.reserved_fen), 0) FROM vault.coupon_terms t JOIN vault.coupon c
                ON c.terms = t.terms
                                 WHERE t.fen_budget = g.budget)
                ELSE 0 END::bigint AS reserved
            FROM vault.budget g WHERE g.budget = ANY ($1::bigint[])""",
            list(ids),
        )
        return {
            row["budget"]: BudgetView(
                row["unit"],
                row["total"],
                row["remaining"],
                row["reserved"],
                row["total"] - row["remaining"] - row["reserved"],
                row["open"],
            )
            for row in rows
        }
