"""Coupon templates: what a coupon is worth, from draft to end, and what the counter and the residents read of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.incentives.budgets import STOCK_CACHE_S, BudgetBoard
from server.incentives.commands import WHOLE_BP, TemplateDraft
from server.incentives.course import Course, View
from server.incentives.drafting import Draft
from server.incentives.effects import coupons_left, most_fen
from server.incentives.errors import TemplateNotFound
from server.incentives.limits import Homes, person_limits, scoped_limits
from server.incentives.models import CouponTemplate, CouponTemplateVersion
from server.incentives.names import check_places
from server.incentives.rows import EDITABLE, Kind
from server.incentives.usable import in_vault, usable_times
from server.incentives.wording import benefit_text, template_text
from server.kit.clock import Clock
from server.kit.db import fetch
from wallet import CouponTerms, Vault
from wallet.directories import Directory

TERMS_KEPT = 10_000
SHOWN_TO_RESIDENTS, OFFERED_MOST = 100, 1_000

_OFFERED = """
SELECT t.id AS template_id, t.status, v.id, b.id AS stock_budget, f.id AS fen_budget
FROM coupon_template t JOIN coupon_template_version v ON v.id = t.live_version
JOIN budget b ON b.template_id = t.id AND b.unit = 'coupons'
LEFT JOIN budget f ON f.template_id = t.id AND f.unit = 'fen'
WHERE t.status IN ('active', 'scheduled', 'paused') AND v.ends_at > $1 AND (v.claimable OR v.by_lottery)
ORDER BY v.ends_at, t.id LIMIT $2
"""


TEMPLATES = Kind("coupon_template", "template_id", CouponTemplate, CouponTemplateVersion, TemplateNotFound)

TemplateView = View[CouponTemplate, CouponTemplateVersion]


@dataclass(frozen=True, slots=True)
class Benefit:
    """What the terms of a coupon give; immutable, so it may be kept for ever. `id`: of the terms, which are a version
    of the template; `summary`: the benefit alone."""

    id: int
    template_id: int
    title: str
    summary: str
    terms_text: str
    kind: str
    face_value_fen: int
    pay_bp: int
    cap_fen: int
    threshold_fen: int
    price_points: int
    merchants: tuple[int, ...]
    stores: tuple[int, ...]
    stacking_group: str | None
    void_window_s: int
    claimable: bool
    by_lottery: bool

    @property
    def needs_order_amount(self) -> bool:
        """Whether the counter must tell the order's amount (D32)."""
        return self.kind == "discount" or self.threshold_fen > 0

    @property
    def needs_order_no(self) -> bool:
        """Whether the counter must tell the order's number, as not every coupon goes with every other."""
        return self.stacking_group is not None


@dataclass(frozen=True, slots=True)
class Claimable:
    """A template that residents can claim now, and how many coupons can still be given (at most a second old)."""

    version: CouponTemplateVersion
    benefit: Benefit
    left: int


@dataclass(frozen=True, slots=True)
class Offered:
    """A template that is shown to residents: claimed by them, or drawn among them. status: scheduled | active |
    paused; budgets: of its coupons, and of the money for them, None where there is none."""

    template_id: int
    status: str
    version: CouponTemplateVersion
    benefit: Benefit
    stock_budget: int
    fen_budget: int | None


def left_of(view: TemplateView) -> int:
    """How many coupons of a template, live or planned, can still be given, as far as its stock and its money reach."""
    amounts = {one.unit: one.planned if view.row.live_version is None else one.left for one in view.budgets}
    return coupons_left(amounts["coupons"], amounts.get("fen", 0), most_fen(view.version))


class TemplateService(Course[CouponTemplate, CouponTemplateVersion]):
    """What administrators do with coupon templates, and what others read of them."""

    def __init__(self, *, vault: Vault, clock: Clock) -> None:
        super().__init__(kind=TEMPLATES, vault=vault, clock=clock)
        self._homes = Homes(CouponTemplateVersion)
        self._board = BudgetBoard(vault)
        self._benefits: dict[int, Benefit] = {}
        self._terms: dict[int, tuple[float, int]] = {}
        self._lives = Directory[int](self._read_lives)
        self._one_reader = asyncio.Lock()
        self._listed: tuple[float, list[Offered]] | None = None

    async def texts(self, versions: Sequence[CouponTemplateVersion]) -> list[str]:
        """What each version promises, in Chinese."""
        return [template_text(version, self._clock.zone) for version in versions]

    def _forget(self) -> None:
        self._listed = None

    async def _check(self, draft: Draft) -> None:
        await super()._check(draft)
        if isinstance(draft, TemplateDraft):
            draft.check_days(self._clock.zone)
            await check_places(draft.merchants, draft.stores)

    async def live_terms(self, template_id: int) -> int:
        """The terms under which this template is claimed now, at most a second old; 0: there are none."""
        known = self._terms.get(template_id)
        if known is None or time.monotonic() - known[0] > STOCK_CACHE_S:
            known = await self._lives.find(template_id)
        return known[1]

    async def _read_lives(self, template_ids: list[int]) -> list[tuple[int, int]]:
        """Once for a whole crowd, who goes on in the order in which it came."""
        now = time.monotonic()
        rows = await fetch("SELECT id, live_version FROM coupon_template WHERE id = ANY($1::bigint[])", template_ids)
        found = dict.fromkeys(template_ids, 0) | {row["id"]: row["live_version"] or 0 for row in rows}
        if len(self._terms) + len(found) > TERMS_KEPT:
            self._terms.clear()
        self._terms |= {id: (now, terms) for id, terms in found.items()}
        return list(found.items())

    async def town_for(self, terms_id: int, resident_id: int) -> str | None:
        """Where the resident lives now, when these terms limit what each town may have."""
        return await self._homes.town(terms_id, resident_id, self._clock.now()) if terms_id else None

    async def offered(self) -> list[Offered]:
        """What residents are shown, what is claimed later included, soonest to end first; at most 1,000, at most a
        second old."""
        async with self._one_reader:
            known = self._listed
            if known is None or time.monotonic() - known[0] > STOCK_CACHE_S:
                self._listed = known = (time.monotonic(), await self._read_offered())
            listed = known[1]
        now = self._clock.now()
        return [one for one in listed if now < one.version.ends_at]

    async def claimable(self) -> list[Claimable]:
        """What residents can claim now, soonest to end first; at most 100, at most a second old."""
        now = self._clock.now()
        shown = [
            one for one in await self.offered()
            if one.version.claimable and one.status != "paused" and one.version.starts_at <= now
        ][:SHOWN_TO_RESIDENTS]  # fmt: skip
        left = await self.left(shown)
        return [Claimable(one.version, one.benefit, left[one.template_id]) for one in shown]

    async def left(self, offered: Sequence[Offered]) -> dict[int, int]:
        """By template how many coupons can still be given, as far as stock and money reach; at most a second old."""
        budgets = [id for one in offered for id in (one.stock_budget, one.fen_budget) if id is not None]
        left = await self._board.left(budgets)
        return {
            one.template_id: coupons_left(
                left.get(one.stock_budget, 0), left.get(one.fen_budget or 0, 0), most_fen(one.version)
            )
            for one in offered
        }

    async def benefits(self, terms_ids: Iterable[int]) -> dict[int, Benefit]:
        """What coupons under several terms give; those that are not known yet are read together."""
        wanted = set(terms_ids)
        unknown = wanted - self._benefits.keys()
        if unknown:
            for version in await CouponTemplateVersion.filter(id__in=list(unknown)).exclude(status__in=EDITABLE):
                self._benefit_of(version)
        return {id: self._benefits[id] for id in wanted if id in self._benefits}

    async def benefit(self, terms_id: int) -> Benefit:
        """What coupons under these terms give; read once per process. Raises TemplateNotFound."""
        known = self._benefits.get(terms_id)
        if known is not None:
            return known
        version = await CouponTemplateVersion.get_or_none(id=terms_id)
        if version is None or version.status in EDITABLE:
            raise TemplateNotFound
        return self._benefit_of(version)

    def _benefit_of(self, version: CouponTemplateVersion) -> Benefit:
        if version.id not in self._benefits:
            self._benefits[version.id] = Benefit(
                id=version.id, template_id=version.template_id, title=version.title, summary=benefit_text(version),
                terms_text=template_text(version, self._clock.zone), kind=version.kind,
                face_value_fen=version.face_value_fen, pay_bp=version.pay_bp, cap_fen=version.cap_fen,
                threshold_fen=version.threshold_fen, price_points=version.price_points,
                merchants=tuple(version.merchants), stores=tuple(version.stores), stacking_group=version.stacking_group,
                void_window_s=version.void_window_s, claimable=version.claimable, by_lottery=version.by_lottery,
            )  # fmt: skip
        return self._benefits[version.id]

    async def _read_offered(self) -> list[Offered]:
        rows = await fetch(_OFFERED, self._clock.now(), OFFERED_MOST)
        kept = {} if self._listed is None else {one.version.id: one.version for one in self._listed[1]}
        fresh = [row["id"] for row in rows if row["id"] not in kept]  # a live version says the same for ever
        if fresh:
            kept |= {one.id: one for one in await CouponTemplateVersion.filter(id__in=fresh)}
        return [
            Offered(row["template_id"], row["status"], kept[row["id"]], self._benefit_of(kept[row["id"]]),
                    row["stock_budget"], row["fen_budget"])
            for row in rows
        ]  # fmt: skip

    async def _put_terms(self, row: CouponTemplate, version: CouponTemplateVersion, budgets: dict[str, int]) -> None:
        terms = CouponTerms(
            id=version.id, template_id=row.id, version=version.number, kind=version.kind,
            stock_budget=budgets["coupons"], fen_budget=budgets["fen"] if version.merchant_bp < WHOLE_BP else None,
            price_points=version.price_points, face_value_fen=version.face_value_fen, pay_bp=version.pay_bp,
            cap_fen=version.cap_fen, threshold_fen=version.threshold_fen, platform_bp=version.platform_bp,
            sponsor_bp=version.sponsor_bp, merchant_bp=version.merchant_bp,
            person_limits=person_limits(f"template:{row.id}", "issue", version.limits),
            scoped_limits=scoped_limits(f"template:{row.id}", version.limits),
            starts_after_days=version.starts_after_days,
            valid_days=version.valid_days, valid_from=version.valid_from, valid_until=version.valid_until,
            windows=tuple(in_vault(one) for one in usable_times(version.windows)), merchants=tuple(version.merchants),
            stores=tuple(version.stores), stacking_group=version.stacking_group,
            most_per_order=version.most_per_order, void_window_s=version.void_window_s,
            return_stock=version.return_stock, claim_from=version.starts_at,
            claim_until=version.ends_at if version.claimable else version.starts_at,
            grace_days=version.grace_days,
        )  # fmt: skip
        await self._vault.put_coupon_terms(terms)
