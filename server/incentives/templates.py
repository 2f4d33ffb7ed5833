"""Coupon templates: what a coupon is worth, from draft to end, and what the counter and the residents read of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from server.incentives.budgets import STOCK_CACHE_S, BudgetBoard, BudgetService, BudgetState
from server.incentives.commands import Signed, TemplateDraft
from server.incentives.course import EDITABLE, Course, owner_of
from server.incentives.errors import TemplateNotFound
from server.incentives.models import Budget, CouponTemplate
from server.incentives.wording import benefit_text, template_text
from server.kit.clock import Clock
from wallet import CouponTerms, PersonLimit, Vault

SHOWN_TO_RESIDENTS = 100


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A template with its budgets as they stand and its rule in Chinese."""

    row: CouponTemplate
    budgets: list[BudgetState]
    terms_text: str


@dataclass(frozen=True, slots=True)
class Benefit:
    """What the terms of a coupon give; immutable, so it may be kept for ever. `summary` is the benefit alone."""

    id: int
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
    void_window_s: int

    @property
    def needs_order_amount(self) -> bool:
        """Whether the counter must tell the order's amount (D32)."""
        return self.kind == "discount" or self.threshold_fen > 0


@dataclass(frozen=True, slots=True)
class Claimable:
    """A template that residents can claim now, and how many coupons are left (at most a second old)."""

    row: CouponTemplate
    benefit: Benefit
    left: int


class TemplateService:
    """What administrators do with coupon templates, and what others read of them."""

    def __init__(self, *, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._budgets = BudgetService(vault=vault, clock=clock)
        self._board = BudgetBoard(vault)
        self._benefits: dict[int, Benefit] = {}
        self._listed: tuple[float, list[tuple[CouponTemplate, int]]] | None = None
        self._course: Course[CouponTemplate] = Course(
            model=CouponTemplate, noun="coupon_template", missing=TemplateNotFound, vault=vault, clock=clock,
            put_terms=self._put_terms,
        )  # fmt: skip

    async def create(self, draft: TemplateDraft, signed: Signed) -> TemplateView:
        """Write a draft. Raises InvalidField for what cannot be."""
        draft.check()
        return await self._view(await self._course.create(draft.columns(), draft.planned(), signed))

    async def edit(
        self, template_id: int, draft: TemplateDraft, signed: Signed, revision: int | None = None
    ) -> TemplateView:
        """Replace a draft's content. Raises AlreadyLive once approved, RevisionChanged on an old `revision`."""
        draft.check()
        row = await self._course.edit(template_id, draft.columns(), draft.planned(), signed, revision)
        return await self._view(row)

    async def submit(self, template_id: int, signed: Signed) -> TemplateView:
        """Hand a draft over for review."""
        return await self._view(await self._course.submit(template_id, signed))

    async def activate(self, template_id: int, signed: Signed, revision: int | None = None) -> TemplateView:
        """Approve and start; refused to the last editor with SecondPersonRequired."""
        return await self._view(await self._course.activate(template_id, signed, revision))

    async def pause(self, template_id: int, signed: Signed) -> TemplateView:
        """Stop claims at once; coupons already claimed stay usable."""
        return await self._view(await self._course.pause(template_id, signed))

    async def resume(self, template_id: int, signed: Signed) -> TemplateView:
        """Go on after a pause."""
        return await self._view(await self._course.resume(template_id, signed))

    async def end(self, template_id: int, signed: Signed) -> TemplateView:
        """End for good; coupons already claimed stay usable."""
        return await self._view(await self._course.end(template_id, signed))

    async def get(self, template_id: int) -> TemplateView:
        """One template. Raises TemplateNotFound."""
        return await self._view(await self._course.find(template_id))

    async def page(self, before_id: int | None, limit: int, status: str | None = None) -> list[TemplateView]:
        """Up to `limit` templates with an id below `before_id`, newest first."""
        chosen = CouponTemplate.all() if status is None else CouponTemplate.filter(status=status)
        if before_id is not None:
            chosen = chosen.filter(id__lt=before_id)
        rows = await chosen.order_by("-id").limit(limit)
        budgets = await Budget.filter(template_id__in=[row.id for row in rows]).order_by("id")
        states = await self._budgets.states(budgets)
        return [
            TemplateView(row, [state for state in states if state.template_id == row.id], self.text(row))
            for row in rows
        ]

    async def claimable(self) -> list[Claimable]:
        """What residents can claim now, soonest to end first; at most 100, at most a second old."""
        if self._listed is None or time.monotonic() - self._listed[0] > STOCK_CACHE_S:
            self._listed = (time.monotonic(), await self._read_claimable())
        now = self._clock.now()
        shown = [(row, budget) for row, budget in self._listed[1] if row.starts_at <= now < row.ends_at]
        left = await self._board.left([budget for _, budget in shown])
        return [Claimable(row, self._benefit_of(row), left.get(budget, 0)) for row, budget in shown]

    async def benefit(self, terms_id: int) -> Benefit:
        """What coupons under these terms give; read once per process. Raises TemplateNotFound."""
        known = self._benefits.get(terms_id)
        if known is not None:
            return known
        row = await self._course.find(terms_id)
        if row.status in EDITABLE:
            raise TemplateNotFound
        return self._benefit_of(row)

    def text(self, template: CouponTemplate) -> str:
        """The rule in Chinese."""
        return template_text(template, self._clock.zone)

    async def redrive(self) -> int:
        """For the worker, every few seconds: finish, start and end what is due; returns how much it did."""
        return await self._course.redrive()

    def _benefit_of(self, row: CouponTemplate) -> Benefit:
        if row.id not in self._benefits:
            self._benefits[row.id] = Benefit(
                id=row.id, title=row.title, summary=benefit_text(row), terms_text=self.text(row), kind=row.kind,
                face_value_fen=row.face_value_fen, pay_bp=row.pay_bp, cap_fen=row.cap_fen,
                threshold_fen=row.threshold_fen, price_points=row.price_points, merchants=tuple(row.merchants),
                void_window_s=row.void_window_s,
            )  # fmt: skip
        return self._benefits[row.id]

    async def _read_claimable(self) -> list[tuple[CouponTemplate, int]]:
        now = self._clock.now()
        running = CouponTemplate.filter(
            status__in=("active", "scheduled"), pending=None, ends_at__gt=now, claimable=True
        )
        rows = await running.order_by("ends_at", "id").limit(SHOWN_TO_RESIDENTS)
        stock = Budget.filter(template_id__in=[row.id for row in rows], unit="coupons")
        budget_of = {budget.template_id: budget.id for budget in await stock}
        return [(row, budget_of[row.id]) for row in rows]

    async def _view(self, row: CouponTemplate) -> TemplateView:
        budgets = await Budget.filter(**owner_of(row)).order_by("id")
        return TemplateView(row, await self._budgets.states(budgets), self.text(row))

    async def _put_terms(self, row: CouponTemplate, budgets: dict[str, int]) -> None:
        limit = PersonLimit(
            limit_id=f"template:{row.id}", cap=row.per_person, action="issue", period=row.per_person_period  # type: ignore[arg-type]
        )  # fmt: skip
        terms = CouponTerms(
            id=row.id, template_id=row.id, version=row.version, kind=row.kind,
            stock_budget=budgets["coupons"], fen_budget=budgets.get("fen"), price_points=row.price_points,
            face_value_fen=row.face_value_fen, pay_bp=row.pay_bp, cap_fen=row.cap_fen, threshold_fen=row.threshold_fen,
            sponsor_bp=row.sponsor_bp, person_limits=(limit,), valid_days=row.valid_days,
            valid_until=row.valid_until, merchants=tuple(row.merchants),
            void_window_s=row.void_window_s, return_stock=row.return_stock,
            claim_from=row.starts_at, claim_until=row.ends_at if row.claimable else row.starts_at,
            grace_days=row.grace_days,
        )  # fmt: skip
        await self._vault.put_coupon_terms(terms)
