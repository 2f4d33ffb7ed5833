"""Facts become what campaigns promise for them.

    fact ──on_fact, judged──> award (one per campaign and fact)
                                │ points                     ──vault.earn(v8 id)──> posted | refused
                                │                     └── redrive, later and later ──┘
                                ├ coupon: owed in the same transaction; posted | refused when the desk settles it
                                ├ free minutes, lottery tickets: handed over in the same transaction, posted
                                └ anything for somebody who is held out: withheld, and nothing is posted

The award's vault id comes from the campaign and the fact, so that every rerun names the same posting (D23).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.experiments.withholding import Withholding
from server.incentives.facts import FACT_RECORDED
from server.incentives.handing import Handing
from server.incentives.judging import Happened, Judge, Offer, happened, offer_of
from server.incentives.limits import Homes
from server.incentives.models import CampaignVersion
from server.incentives.rules import Decision
from server.incentives.rules.language import GiveCoupon
from server.incentives.settling import REDRIVE_AFTER_S, is_final, pause_of
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.ids import uuid8
from server.kit.outbox import Event
from wallet import Vault
from wallet.errors import Refused, VaultError

log = structlog.get_logger(__name__)


_FACT = "SELECT id, resident_id, kind, occurred_at, attributes FROM fact WHERE id = $1"
_OFFERS = """
SELECT v.campaign_id, v.id AS version_id, v.rule, v.limits, v.validity_months, v.hold_out,
  (SELECT min(o.starts_at) FROM campaign_version o WHERE o.campaign_id = v.campaign_id AND o.live_at IS NOT NULL) AS
  began_at
FROM campaign_version v JOIN campaign_span s ON s.version_id = v.id AND s.from_at <= $2 AND (s.until_at IS NULL OR $2
< s.until_at) WHERE v.trigger = $1 AND v.starts_at <= $2 AND $2 < v.ends_at
  AND NOT EXISTS (SELECT FROM award a WHERE a.campaign_id = v.campaign_id AND a.fact_id = $3)
ORDER BY v.campaign_id
"""
# A version may become live in the instant a fact is told, each not seeing the other: the first minute is looked at
# again.
_FRESH = """
SELECT DISTINCT f.id, f.resident_id, f.kind, f.occurred_at, f.attributes
FROM campaign_span s JOIN campaign_version v ON v.id = s.version_id
JOIN fact f ON f.kind = v.trigger AND f.occurred_at >= s.from_at AND f.occurred_at < s.from_at + interval '1 minute'
  AND (s.until_at IS NULL OR f.occurred_at < s.until_at)
WHERE s.from_at > $1 AND NOT EXISTS (SELECT FROM award a WHERE a.campaign_id = v.campaign_id AND a.fact_id = f.id)
ORDER BY f.id LIMIT 1000
"""
_FRESH_FOR = timedelta(minutes=10)
_INSERT = """
INSERT INTO award (campaign_id, version_id, fact_id, resident_id, effect, points, vault_id, status, reason, attempts,
  due_at, created_at, settled_at, held_out, withheld_fen)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 0, $9, $10, $11, $12, $13)
ON CONFLICT (campaign_id, fact_id) DO NOTHING RETURNING id
"""
_OWED = """
SELECT a.id, a.version_id, a.resident_id, a.points, a.vault_id, a.attempts, f.occurred_at, c.status
FROM award a JOIN fact f ON f.id = a.fact_id JOIN campaign c ON c.id = a.campaign_id
WHERE a.status = 'pending' AND a.effect = 'points' AND {which} ORDER BY a.due_at, a.id LIMIT $2
"""
_OWED_FOR_FACT = _OWED.format(which="a.fact_id = $1")
_OWED_DUE = _OWED.format(which="a.due_at <= $1")
_SETTLE = """
UPDATE award SET status = $2, reason = $3, settled_at = $4, attempts = attempts + 1 WHERE id = $1 AND status = 'pending'
"""
_POSTPONE = "UPDATE award SET due_at = $2, attempts = attempts + 1 WHERE id = $1 AND status = 'pending'"


class AwardService:
    """Gives residents what campaigns promise for facts. Runs in the worker; every step may be repeated."""

    def __init__(
        self, *, vault: Vault, clock: Clock, job_key: bytes, handing: Handing, withholding: Withholding
    ) -> None:
        self._vault = vault
        self._clock = clock
        self._job_key = job_key
        self._handing = handing
        self._withholding = withholding
        self._judge = Judge(clock)
        self._homes = Homes(CampaignVersion)

    async def on_fact(self, event: Event) -> None:
        """Judge a fact, write down and post what every campaign live at its time owes for it. Other events are left
        alone."""
        if event.kind != FACT_RECORDED:
            return
        fact_id = int(event.payload["fact_id"])
        rows = await fetch(_FACT, fact_id)
        if rows and await self._plan(happened(rows[0])):
            for owed in await fetch(_OWED_FOR_FACT, fact_id, 100):
                await self._post(owed)

    async def redrive(self, limit: int = 200) -> int:
        """Post up to `limit` awards that are due again; returns how many were tried."""
        for row in await fetch(_FRESH, self._clock.now() - _FRESH_FOR):
            await self._plan(happened(row))
        due = await fetch(_OWED_DUE, self._clock.now(), limit)
        for owed in due:
            await self._post(owed)
        return len(due)

    async def _plan(self, fact: Happened) -> bool:
        """Write down what is owed for a fact; whether campaigns knew its kind at all."""
        offers = [offer_of(row) for row in await fetch(_OFFERS, fact.kind, fact.occurred_at, fact.id)]
        if not offers:
            return bool(await fetch("SELECT FROM award WHERE fact_id = $1 AND status = 'pending' LIMIT 1", fact.id))
        granted = [(offer, one) for offer, one in await self._judge.decide(fact, offers) if one.granted]
        if granted:
            async with transaction() as tx:
                for offer, decision in granted:
                    await self._write(tx, fact, offer, decision)
        return True

    async def _write(self, tx: BaseDBAsyncClient, fact: Happened, offer: Offer, decision: Decision) -> None:
        now, effect = self._clock.now(), decision.rule.effect
        in_points, held_out = decision.points > 0, self._withholding.applies(offer, fact.resident_id)
        later = in_points or isinstance(effect, GiveCoupon)
        status = "withheld" if held_out else "pending" if later else "posted"
        rows = await fetch(
            _INSERT, offer.campaign_id, offer.version_id, fact.id, fact.resident_id,
            "points" if in_points else str(effect.__struct_config__.tag), decision.points,
            self._vault_id(offer, fact), status, now + timedelta(seconds=REDRIVE_AFTER_S), now,
            None if status == "pending" else now, held_out,
            await self._withholding.cost_fen(effect) if held_out else 0, using=tx,
        )  # fmt: skip
        if rows and held_out:
            await self._withholding.settle(tx, rows[0]["id"], fact, offer, decision)
        elif rows and not in_points:
            await self._handing.over(tx, rows[0]["id"], fact, offer, effect)

    def _vault_id(self, offer: Offer, fact: Happened) -> UUID:
        return uuid8(fact.occurred_at, "award", f"{offer.campaign_id}:{fact.id}", self._job_key)

    async def _post(self, owed: dict[str, Any]) -> None:
        occurred_at: datetime = owed["occurred_at"]
        earned_on = occurred_at.astimezone(self._clock.zone).date()
        try:
            await self._vault.open_wallet(owed["resident_id"])
            town = await self._homes.town(owed["version_id"], owed["resident_id"], occurred_at)
            await self._vault.earn(
                owed["resident_id"], owed["vault_id"], terms_id=owed["version_id"], earned_on=earned_on,
                points=owed["points"], town=town,
            )  # fmt: skip
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
