"""Writing notices: two daily passes, over wallets and over coupons, in bounded pages.

A notice is unique per resident, kind, subject (the lot's last day, or the coupon) and lead, so a pass that runs three
times, or is killed in the middle, tells everybody once. Whether WeChat is told too is decided in the same statement: it
is when the resident has left a grant by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from server.kit import passes
from server.kit.clock import Clock
from server.kit.db import fetch
from server.kit.pace import UNBOUND, Pace, Stopwatch
from server.kit.passes import Page, PassState
from server.notices.models import Notice
from server.notices.wording import (
    COUPON,
    POINTS,
    TITLES,
    Kind,
    MessageTemplate,
    coupon_text,
    lead_due,
    points_text,
)
from wallet import Vault
from wallet.due import OwnedCoupon, OwnedLot

PAGE: Final = 1_000
KEPT_DAYS: Final = 400

log = structlog.get_logger(__name__)

_WRITE: Final = """
INSERT INTO notice (resident_id, kind, subject, last_day, lead_days, points, name, title, body, created_at, push,
    push_at, attempts)
SELECT x.resident_id, $1, x.subject, x.last_day, x.lead_days, x.points, x.name, $2, x.body, $3::timestamptz,
    CASE WHEN a.asked THEN 'due' ELSE 'none' END, CASE WHEN a.asked THEN $3::timestamptz END, 0
FROM unnest($4::bigint[], $5::text[], $6::date[], $7::smallint[], $8::bigint[], $9::text[], $10::text[])
    x (resident_id, subject, last_day, lead_days, points, name, body)
CROSS JOIN LATERAL (SELECT EXISTS (
    SELECT FROM identity i JOIN notice_grant g ON g.identity_id = i.id
    WHERE i.resident_id = x.resident_id AND g.template_id = $11 AND g.balance > 0) AS asked) a
ON CONFLICT (resident_id, kind, subject, lead_days) DO NOTHING RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class _Told:
    resident_id: int
    subject: str
    last_day: date
    lead_days: int
    points: int | None
    name: str
    body: str


class NoticeWriter:
    """The jobs that fill the inbox. `coupon_title` names what a template gives, "" when nobody knows."""

    def __init__(
        self,
        *,
        vault: Vault,
        clock: Clock,
        templates: Mapping[Kind, MessageTemplate],
        points_leads: Sequence[int],
        coupon_leads: Sequence[int],
        coupon_title: Callable[[int], Awaitable[str]],
        pace: Pace = UNBOUND,
        page: int = PAGE,
    ) -> None:
        self._vault, self._clock, self._templates, self._pace, self._page = vault, clock, templates, pace, page
        self._points_leads, self._coupon_leads, self._coupon_title = points_leads, coupon_leads, coupon_title
        self._walks = (
            (passes.Walk("notify_points", clock), self._points_page if points_leads else None),
            (passes.Walk("notify_coupons", clock), self._coupons_page if coupon_leads else None),
        )

    async def step(self) -> bool:
        """One page of each of today's passes; returns whether there is more to do now."""
        more = False
        for walk, work in self._walks:
            state = None if work is None else await walk.page(work)
            if state is not None:
                more = more or not state.finished
                if state.finished:
                    log.info("notices_written", job=state.name, day=str(state.day), seen=state.seen, new=state.done)
        return more

    async def run(self) -> None:
        """Steps until today's passes are finished, as far as this process may."""
        while await self.step():
            pass

    async def purge(self, limit: int, *, kept_days: int = KEPT_DAYS) -> int:
        """Deletes notices that are older than `kept_days`, at most `limit`; how many. A lot's or a coupon's last notice
        is older than its last day by then, so none is written again."""
        before = self._clock.now() - timedelta(days=kept_days)
        ids = (
            await Notice.filter(created_at__lt=before).order_by("created_at").limit(limit).values_list("id", flat=True)
        )
        return await Notice.filter(id__in=list(ids)).delete()

    async def _points_page(self, state: PassState) -> Page:
        watch = Stopwatch()
        after = (int(state.position[0]), int(state.position[1])) if state.position else None
        found = await self._vault.read.lots_ending(
            after, first=state.day, last=state.day + timedelta(days=max(self._points_leads)), limit=self._page
        )
        told = [one for lot in found.lots if (one := self._of_lot(lot, state.day)) is not None]
        new = await self._write(POINTS, told)
        await self._pace.rest(len(told), watch.s)
        return Page(found.last, seen=found.seen, done=new)

    async def _coupons_page(self, state: PassState) -> Page:
        watch = Stopwatch()
        after = None
        if state.position:
            b, owner, coupon = state.position
            after = (int(b), int(owner), UUID(str(coupon)))
        found = await self._vault.read.coupons_ending(
            after, first=state.day, last=state.day + timedelta(days=max(self._coupon_leads)), limit=self._page
        )
        names = {number: await self._coupon_title(number) for number in {one.template_id for one in found.coupons}}
        told = [
            one
            for coupon in found.coupons
            if (one := self._of_coupon(coupon, names[coupon.template_id], state.day)) is not None
        ]
        new = await self._write(COUPON, told)
        await self._pace.rest(len(told), watch.s)
        last = None if found.last is None else (found.last[0], found.last[1], str(found.last[2]))
        return Page(last, seen=found.seen, done=new)

    def _of_lot(self, lot: OwnedLot, today: date) -> _Told | None:
        lead = lead_due(today, lot.expires_on, self._points_leads)
        if lead is None:
            return None
        body = points_text(lot.points, lot.expires_on, today)
        return _Told(lot.owner, lot.expires_on.isoformat(), lot.expires_on, lead, lot.points, "", body)

    def _of_coupon(self, coupon: OwnedCoupon, name: str, today: date) -> _Told | None:
        lead = lead_due(today, coupon.expires_on, self._coupon_leads)
        if lead is None:
            return None
        issued_on = coupon.issued_at.astimezone(self._clock.zone).date()
        if issued_on >= coupon.expires_on - timedelta(days=lead):  # whoever just claimed it knows how long it lives
            return None
        body = coupon_text(name, coupon.expires_on, today)
        return _Told(coupon.owner, str(coupon.id), coupon.expires_on, lead, None, name, body)

    async def _write(self, kind: Kind, told: list[_Told]) -> int:
        if not told:
            return 0
        template = self._templates.get(kind)
        now: datetime = self._clock.now()
        rows = await fetch(
            _WRITE, kind, TITLES[kind], now,
            [one.resident_id for one in told], [one.subject for one in told], [one.last_day for one in told],
            [one.lead_days for one in told], [one.points for one in told], [one.name for one in told],
            [one.body for one in told], template.id if template else "",
        )  # fmt: skip
        return len(rows)
