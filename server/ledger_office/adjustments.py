"""Corrections of a balance by hand: asked for by one administrator, decided by another, posted by the worker.

The intent is written before the vault is called, with the posting's id, and the worker repeats the call under that id
until the vault has answered for good (D18, D23). The id is stamped with the decision's time, so its month is open
however long the request has waited.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit import audit
from server.kit.audit import Actor
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.ids import uuid8
from server.ledger_office.commands import AdjustmentDraft, Clerk, check_text
from server.ledger_office.errors import AdjustmentDecided, AdjustmentNotFound
from server.ledger_office.models import Adjustment
from wallet import Adjusted, Refused, Vault, VaultError, statuses

log = structlog.get_logger(__name__)

OLDEST_KEY, NEWEST_KEY = timedelta(hours=48), timedelta(minutes=5)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5, 600
HOUSE = Actor("system", "system")


class AdjustmentService:
    """Requests and decisions in HTTP processes, `redrive` in the worker."""

    def __init__(self, *, vault: Vault, clock: Clock, job_key: bytes) -> None:
        self._vault = vault
        self._clock = clock
        self._job_key = job_key

    async def request(self, id: UUID, draft: AdjustmentDraft, clerk: Clerk) -> tuple[Adjustment, bool]:
        """Ask for a correction under a client-made UUIDv7; (adjustment, replayed). Nothing moves before somebody else
        approves. The same id with other content is refused as a mismatch, an id older than 48 h or ahead by 5 min as
        expired, a resident without a wallet as wallet_not_open."""
        draft.check()
        known = await Adjustment.get_or_none(id=id)
        if known is not None:
            return _same(known, draft, clerk), True
        now = self._clock.now()
        if not _unix_ms(now - OLDEST_KEY) <= id.int >> 80 <= _unix_ms(now + NEWEST_KEY):
            raise Refused(statuses.ID_EXPIRED)
        if await self._vault.read.wallet(draft.resident_id) is None:
            raise Refused(statuses.WALLET_MISSING)
        async with transaction() as tx:
            made = await fetch(
                "INSERT INTO adjustment (id, resident_id, points, reason, document, validity_months, status,"
                " requested_by, requested_at, decision_note, attempts, answer)"
                " VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $8, '', 0, '') ON CONFLICT (id) DO NOTHING"
                " RETURNING id",
                id, draft.resident_id, draft.points, draft.reason, draft.document, draft.validity_months,
                clerk.admin_id, now, using=tx,
            )  # fmt: skip
            row = await Adjustment.get(id=id, using_db=tx)
            if made:
                await self._record(tx, "requested", row, None, clerk)
        return _same(row, draft, clerk), not made

    async def approve(self, id: UUID, clerk: Clerk) -> Adjustment:
        """Approve; the worker posts within seconds. Twice by the same person answers the same. Raises
        two_people_required to whoever asked for it."""
        return await self._decide(id, clerk, "approved", "")

    async def reject(self, id: UUID, reason: str, clerk: Clerk) -> Adjustment:
        """Reject for good, with a reason. Twice by the same person answers the same."""
        check_text("reason", reason, 200)
        return await self._decide(id, clerk, "rejected", reason)

    async def get(self, id: UUID) -> Adjustment:
        """One adjustment. Raises AdjustmentNotFound."""
        row = await Adjustment.get_or_none(id=id)
        if row is None:
            raise AdjustmentNotFound
        return row

    async def page(
        self, *, status: str | None, resident_id: int | None, before: UUID | None, limit: int
    ) -> list[Adjustment]:
        """Up to `limit` adjustments, newest first."""
        wanted = {"status": status, "resident_id": resident_id, "id__lt": before}
        chosen = {name: value for name, value in wanted.items() if value is not None}
        return await Adjustment.filter(**chosen).order_by("-id").limit(limit)

    async def redrive(self, limit: int = 200) -> int:
        """Worker only: post what is approved and due; returns how many were tried. Safe to run twice at once."""
        due = await Adjustment.filter(status="approved", due_at__lte=self._clock.now()).order_by("due_at").limit(limit)
        for row in due:
            await self._post(row)
        return len(due)

    async def _decide(self, id: UUID, clerk: Clerk, status: str, note: str) -> Adjustment:
        async with transaction() as tx:
            row = await self._lock(tx, id)
            if row.requested_by == clerk.admin_id:
                raise Refused(statuses.TWO_PEOPLE)
            if row.status != "pending":
                if row.decided_by != clerk.admin_id or (row.status == "rejected") != (status == "rejected"):
                    raise AdjustmentDecided
                return row
            before, now = _snapshot(row), self._clock.now()
            row.status, row.decided_by, row.decided_at, row.decision_note = status, clerk.admin_id, now, note
            if status == "approved":
                row.vault_id = uuid8(now, "adjustment", str(row.id), self._job_key)
                row.due_at = now
            await row.save(using_db=tx)
            await self._record(tx, status, row, before, clerk)
        return row

    async def _post(self, row: Adjustment) -> None:
        assert row.vault_id is not None and row.decided_by is not None
        try:
            done = await self._vault.adjust(
                row.resident_id, row.vault_id, points=row.points, actor=row.requested_by, approver=row.decided_by,
                reason=row.reason, document=row.document, validity_months=row.validity_months,
            )  # fmt: skip
        except Refused as refusal:
            await self._settle(row, "refused", refusal.code, None)
        except VaultError as error:
            await self._postpone(row, error.code)
        except Exception:  # one adjustment that cannot be posted must not hold up the others
            log.exception("adjustment_not_posted", id=str(row.id))
            await self._postpone(row, "fault")
        else:
            await self._settle(row, "posted", statuses.DONE.code, done.result)

    async def _settle(self, posted: Adjustment, status: str, answer: str, result: Adjusted | None) -> None:
        async with transaction() as tx:
            row = await self._lock(tx, posted.id)
            if row.status != "approved":
                return
            before = _snapshot(row)
            row.status, row.answer, row.settled_at, row.due_at = status, answer, self._clock.now(), None
            row.attempts += 1
            if result is not None:
                row.points_after, row.expires_on = result.points_after, result.expires_on
            await row.save(using_db=tx)
            await self._record(tx, status, row, before, None)
        log.info("adjustment_settled", id=str(posted.id), status=status, answer=answer)

    async def _postpone(self, row: Adjustment, reason: str) -> None:
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(row.attempts, 10))
        async with transaction() as tx:
            await fetch(
                "UPDATE adjustment SET due_at = $2, attempts = attempts + 1 WHERE id = $1 AND status = 'approved'",
                row.id, self._clock.now() + timedelta(seconds=pause_s), using=tx,
            )  # fmt: skip
        log.info("adjustment_postponed", id=str(row.id), reason=reason, pause_s=pause_s)

    async def _lock(self, tx: BaseDBAsyncClient, id: UUID) -> Adjustment:
        row = await Adjustment.filter(id=id).using_db(tx).select_for_update(no_key=True).first()
        if row is None:
            raise AdjustmentNotFound
        return row

    async def _record(
        self, tx: BaseDBAsyncClient, action: str, row: Adjustment, before: dict[str, Any] | None, clerk: Clerk | None
    ) -> None:
        await audit.record(
            tx, actor=clerk.actor if clerk else HOUSE, action=f"adjustment.{action}", object_kind="adjustment",
            object_id=str(row.id), before=before, after=_snapshot(row), at=self._clock.now(),
            request_id=clerk.request_id if clerk else "",
        )  # fmt: skip


def _same(row: Adjustment, draft: AdjustmentDraft, clerk: Clerk) -> Adjustment:
    stands = AdjustmentDraft(row.resident_id, row.points, row.reason, row.document, row.validity_months)
    if (stands, row.requested_by) != (draft, clerk.admin_id):
        raise Refused(statuses.MISMATCH)
    return row


def _snapshot(row: Adjustment) -> dict[str, Any]:
    plain = (type(None), str, int)
    columns = {name: getattr(row, name) for name in sorted(row._meta.fields_db_projection)}
    return {name: value if isinstance(value, plain) else _text(value) for name, value in columns.items()}


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _unix_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
