"""Facts become points.

    fact ──on_fact──> award (pending, one per campaign and fact) ──vault.earn(v8 id)──> posted | refused
                                   └──────────── redrive, later and later ───────────┘

The award's vault id comes from the campaign and the fact, so that every rerun names the same posting (D23).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from server.incentives.facts import FACT_RECORDED
from server.incentives.settling import REDRIVE_AFTER_S, is_final, pause_of
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.ids import uuid8
from server.kit.outbox import Event
from wallet import Vault
from wallet.errors import Refused, VaultError

log = structlog.get_logger(__name__)

_MATCH = """
SELECT f.id AS fact_id, f.resident_id, f.occurred_at, v.campaign_id, v.id AS version_id
FROM fact f
JOIN campaign_version v ON v.trigger = f.kind AND v.starts_at <= f.occurred_at AND f.occurred_at < v.ends_at
JOIN campaign_span s ON s.version_id = v.id AND s.from_at <= f.occurred_at
    AND (s.until_at IS NULL OR f.occurred_at < s.until_at)
WHERE {which} AND NOT EXISTS (SELECT FROM award a WHERE a.campaign_id = v.campaign_id AND a.fact_id = f.id)
ORDER BY f.id, v.campaign_id LIMIT 1000
"""
_MATCH_ONE = _MATCH.format(which="f.id = $1")
# A campaign may become live in the instant a fact is told, each not seeing the other: fresh facts are looked at again.
_MATCH_FRESH = _MATCH.format(which="f.recorded_at > clock_timestamp() - interval '10 minutes'")
_INSERT = """
INSERT INTO award (campaign_id, version_id, fact_id, resident_id, vault_id, status, reason, attempts, due_at,
created_at) VALUES ($1, $2, $3, $4, $5, 'pending', '', 0, $6, $7) ON CONFLICT (campaign_id, fact_id) DO NOTHING
"""
_OWED = """
SELECT a.id, a.version_id, a.resident_id, a.vault_id, a.attempts, f.occurred_at, c.status
FROM award a JOIN fact f ON f.id = a.fact_id JOIN campaign c ON c.id = a.campaign_id
WHERE a.status = 'pending' AND {which} ORDER BY a.due_at, a.id LIMIT $2
"""
_OWED_FOR_FACT = _OWED.format(which="a.fact_id = $1")
_OWED_DUE = _OWED.format(which="a.due_at <= $1")
_SETTLE = """
UPDATE award SET status = $2, reason = $3, settled_at = $4, attempts = attempts + 1 WHERE id = $1 AND status = 'pending'
"""
_POSTPONE = "UPDATE award SET due_at = $2, attempts = attempts + 1 WHERE id = $1 AND status = 'pending'"


class AwardService:
    """Gives residents the points that campaigns promise for facts. Runs in the worker; every step may be repeated."""

    def __init__(self, *, vault: Vault, clock: Clock, job_key: bytes) -> None:
        self._vault = vault
        self._clock = clock
        self._job_key = job_key

    async def on_fact(self, event: Event) -> None:
        """Write down and post what every campaign live at the fact's time owes for it. Other events are left alone."""
        if event.kind != FACT_RECORDED:
            return
        fact_id = int(event.payload["fact_id"])
        await self._plan(_MATCH_ONE, [fact_id])
        for owed in await fetch(_OWED_FOR_FACT, fact_id, 100):
            await self._post(owed)

    async def redrive(self, limit: int = 200) -> int:
        """Post up to `limit` awards that are due again; returns how many were tried."""
        await self._plan(_MATCH_FRESH, [])
        due = await fetch(_OWED_DUE, self._clock.now(), limit)
        for owed in due:
            await self._post(owed)
        return len(due)

    async def _plan(self, query: str, values: list[Any]) -> None:
        matches = await fetch(query, *values)
        if not matches:
            return
        now = self._clock.now()
        async with transaction() as tx:
            for match in matches:
                await tx.execute_query(_INSERT, [
                    match["campaign_id"], match["version_id"], match["fact_id"], match["resident_id"],
                    self._vault_id(match), now + timedelta(seconds=REDRIVE_AFTER_S), now,
                ])  # fmt: skip

    def _vault_id(self, match: dict[str, Any]) -> UUID:
        source = f"{match['campaign_id']}:{match['fact_id']}"
        return uuid8(match["occurred_at"], "award", source, self._job_key)

    async def _post(self, owed: dict[str, Any]) -> None:
        occurred_at: datetime = owed["occurred_at"]
        earned_on = occurred_at.astimezone(self._clock.zone).date()
        try:
            await self._vault.open_wallet(owed["resident_id"])
            await self._vault.earn(
                owed["resident_id"], owed["vault_id"], terms_id=owed["version_id"], earned_on=earned_on
            )
        except Refused as refusal:
            if is_final(refusal, ended=owed["status"] in ("ended", "archived")):
                await self._settle(owed["id"], "refused", refusal.code)
            else:
                await self._postpone(owed, refusal.code)
        except VaultError as error:
            await self._postpone(owed, error.code)
        except Exception:  # one award that cannot be posted must not stop the relay
            log.exception("award_not_posted", award_id=owed["id"])
            await self._postpone(owed, "fault")
        else:
            await self._settle(owed["id"], "posted", "")

    async def _settle(self, award_id: int, status: str, reason: str) -> None:
        async with transaction() as tx:
            await tx.execute_query(_SETTLE, [award_id, status, reason, self._clock.now()])
        log.info("award_settled", award_id=award_id, status=status, reason=reason)

    async def _postpone(self, owed: dict[str, Any], reason: str) -> None:
        pause = pause_of(owed["attempts"])
        async with transaction() as tx:
            await tx.execute_query(_POSTPONE, [owed["id"], self._clock.now() + pause])
        log.info("award_postponed", award_id=owed["id"], reason=reason, pause_s=int(pause.total_seconds()))
