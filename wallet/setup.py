"""What must stand before value moves: wallets, budgets, terms, acceptors, showings of coupons.

Each call is one call of the vault, safe to repeat; which role may make it is in `migrations/sql/vault/090_grants.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg
import msgspec

from wallet import statuses
from wallet.errors import BudgetRefused, InFlight, Refused, TermsConflict, VaultUnavailable
from wallet.items import bucket_of
from wallet.lanes import CONNECTION_LOST, TOOK_TOO_LONG
from wallet.queries import BudgetLevel, BudgetView, Queries
from wallet.seals import Seals
from wallet.terms import CouponTerms, EarnTerms

Unit = Literal["points", "coupons", "fen"]
Party = Literal["merchant", "store", "terminal", "staff"]


@dataclass(frozen=True, slots=True)
class IssuedHandle:
    """One showing of a coupon: the handle a phone turns into codes until `expires_at`."""

    credential_id: UUID
    handle: int
    expires_at: datetime


class Setup:
    """The set-up half of the vault's face, over one pool; see `wallet.vault.Vault`."""

    def __init__(self, pool: asyncpg.Pool, budget_slots: int) -> None:
        self._pool, self._budget_slots = pool, budget_slots
        self.read = Queries(pool)
        self.seals = Seals(pool)

    async def now(self) -> datetime:
        """The vault's clock, which the whole house follows (D11)."""
        at: datetime = await self._value("SELECT vault.now()")
        return at

    async def clock_is_plain(self) -> bool:
        """Whether `vault.now()` is the database's own clock and nothing else."""
        body = await self._value(
            "SELECT prosrc FROM pg_proc WHERE pronamespace = 'vault'::regnamespace AND proname = 'now'"
        )
        return str(body) == "SELECT clock_timestamp()"

    async def open_wallet(self, resident_id: int) -> None:
        """Opens a resident's wallet; again is a no-op."""
        await self._value("SELECT vault.open_wallet($1::smallint, $2)", bucket_of(resident_id), resident_id)

    async def bump_epoch(self, resident_id: int) -> None:
        """Kills every credential issued to the resident so far (log-out everywhere)."""
        await self._value("SELECT vault.bump_epoch($1::smallint, $2)", bucket_of(resident_id), resident_id)

    async def create_budget(self, budget_id: int, unit: Unit) -> None:
        """Creates an empty, closed budget; again is a no-op, with another unit it raises `BudgetRefused`."""
        if not await self._value(
            "SELECT vault.create_budget($1, $2, $3::smallint)", budget_id, unit, self._budget_slots
        ):
            raise BudgetRefused

    async def budget_entry(
        self,
        budget_id: int,
        entry_id: UUID,
        kind: Literal["topup", "cut"],
        amount: int,
        actor: int,
        approver: int,
        document: str,
    ) -> None:
        """Changes a budget's total, the only way there is (D5); the same entry again is a no-op. Raises
        `BudgetRefused`."""
        answer = await self._value(
            "SELECT vault.put_budget_entry($1, $2, $3, $4, $5, $6, $7)",
            budget_id,
            entry_id,
            kind,
            amount,
            actor,
            approver,
            document,
        )
        if answer not in ("done", "replayed"):
            raise BudgetRefused

    async def open_budget(self, budget_id: int) -> None:
        """Lets a budget be taken from."""
        await self._value("SELECT vault.set_budget_open($1, true)", budget_id)

    async def close_budget(self, budget_id: int) -> None:
        """Refuses debits from a budget at once (pause, kill switch); returns still fit."""
        await self._value("SELECT vault.set_budget_open($1, false)", budget_id)

    async def budgets(self, ids: Sequence[int]) -> dict[int, BudgetView]:
        """The exact state of budgets, from the ledger."""
        return await self.read.budgets(ids)

    async def budget_levels(self, ids: Sequence[int]) -> dict[int, BudgetLevel]:
        """How full budgets are, from the ledger; unlike `budgets` it looks at no coupon."""
        return await self.read.budget_levels(ids)

    async def put_earn_terms(self, terms: EarnTerms) -> None:
        """Writes a campaign's earning terms, immutable; raises `TermsConflict` when other terms stand under this id, or
        when the budget is unknown or in another unit."""
        if not await self._value("SELECT vault.put_earn_terms($1::jsonb)", msgspec.json.encode(terms).decode()):
            raise TermsConflict

    async def put_coupon_terms(self, terms: CouponTerms) -> None:
        """Writes an approved template version, immutable; raises `TermsConflict` when other terms stand under this id,
        or when a budget is unknown or in another unit."""
        if not await self._value("SELECT vault.put_coupon_terms($1::jsonb)", msgspec.json.encode(terms).decode()):
            raise TermsConflict

    async def put_calendar_year(self, year: int, holidays: Iterable[date], workdays: Iterable[date]) -> bool:
        """Worker only: says on which days of a year China does not work and does, where that differs from other
        weeks. What stood for the year is replaced; returns whether that changed anything."""
        sql = "SELECT vault.put_calendar_year($1, $2::date[], $3::date[])"
        return bool(await self._value(sql, year, list(holidays), list(workdays)))

    async def set_acceptor(
        self, kind: Party, id: int, merchant_id: int, store_id: int | None, open: bool, town: str | None = None
    ) -> None:
        """Says whether a merchant, store, terminal or staff member may accept coupons; the next scan and redemption
        obey it. `town`: of a store, for limits by town."""
        sql = "SELECT vault.set_acceptor($1, $2, $3, $4, $5, $6)"
        await self._value(sql, kind, id, merchant_id, store_id, open, town)

    async def issue_credentials(
        self, resident_id: int, coupon_id: UUID, ids: Sequence[UUID], handles: Sequence[int], ttls_s: Sequence[int]
    ) -> list[IssuedHandle]:
        """Issues showings of a coupon. A handle that is taken is left out; the caller draws again. Raises `Refused`."""
        rows = await self._rows(
            "SELECT * FROM vault.issue_credentials($1::smallint, $2, $3, $4::uuid[], $5::bigint[], $6::integer[])",
            bucket_of(resident_id),
            resident_id,
            coupon_id,
            list(ids),
            list(handles),
            list(ttls_s),
        )
        if rows and rows[0]["status"] != statuses.DONE.number:
            raise Refused.of(rows[0]["status"])
        return [IssuedHandle(row["credential_id"], row["handle"], row["expires_at"]) for row in rows]

    async def burn_credential(self, resident_id: int, credential_id: UUID) -> bool:
        """Kills an open showing (screenshot seen, page left); returns whether one died."""
        sql = "SELECT vault.burn_credential($1::smallint, $2, $3)"
        return bool(await self._value(sql, bucket_of(resident_id), resident_id, credential_id))

    async def ensure_partitions(self, months_ahead: int) -> int:
        """Worker only: makes the journal's coming months; returns how many were made."""
        return int(await self._value("SELECT vault.ensure_partitions($1)", months_ahead))

    async def purge(self, limit: int) -> int:
        """Worker only: deletes directory rows and scans past their keeping time, at most `limit` of each."""
        return int(await self._value("SELECT vault.purge($1)", limit))

    async def _value(self, sql: str, *args: object) -> Any:
        rows = await self._rows(sql, *args)
        return rows[0][0] if rows else None

    async def _rows(self, sql: str, *args: object) -> list[asyncpg.Record]:
        try:
            rows: list[asyncpg.Record] = await self._pool.fetch(sql, *args)
            return rows
        except TOOK_TOO_LONG as slow:
            raise InFlight from slow
        except CONNECTION_LOST as lost:
            raise VaultUnavailable from lost
