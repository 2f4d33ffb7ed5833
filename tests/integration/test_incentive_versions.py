"""What changes when a campaign or template that runs is changed: a new version, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from server.incentives.campaigns import CampaignService, CampaignView
from server.incentives.commands import Signed, rule_of
from server.incentives.coupons import CouponService
from server.incentives.errors import AlreadyLive, BudgetFixed, DraftOpen, SecondPersonRequired, WrongStatus
from server.incentives.models import Award, BudgetRequest, Campaign, CampaignSpan, CampaignVersion
from server.incentives.rules import RuleRefused
from server.incentives.templates import TemplateService
from server.incentives.wording import moment_text
from server.kit.audit import AuditEntry
from server.kit.db import fetch
from server.kit.errors import InvalidField
from server.kit.ids import uuid7
from server.kit.outbox import Event
from tests.support.incentives import CHECKER, MAKER, THIRD, House, Unreachable, house, opened, per_person
from wallet import Refused, VaultUnavailable

__all__ = ["house", "opened"]

RESIDENTS = iter(range(7_000, 8_000))


async def revised(house: House, row_id: int, *, by: Signed = MAKER, **changes: object) -> CampaignView:
    """A change of a live campaign, reviewed and approved."""
    draft = house.campaign(**{"budget_points": None, **changes})  # type: ignore[arg-type]
    await house.campaigns.revise(row_id, draft, by)
    await house.campaigns.submit(row_id, by)
    return await house.campaigns.approve(row_id, CHECKER)


async def test_a_change_of_a_live_campaign_is_reviewed_while_the_old_version_goes_on(house: House) -> None:
    view = await house.live_campaign()
    changed = await house.campaigns.revise(view.row.id, house.campaign(points=7, budget_points=None), MAKER)
    assert (changed.row.status, changed.version.id, changed.version.number) == ("active", view.version.id, 1)
    assert changed.draft is not None
    assert (changed.draft.number, changed.draft.status) == (2, "draft")
    assert "可获得7积分" in changed.draft_text
    submitted = await house.campaigns.submit(view.row.id, MAKER)
    assert (submitted.row.status, submitted.draft and submitted.draft.status) == ("active", "in_review")
    with pytest.raises(SecondPersonRequired):
        await house.campaigns.approve(view.row.id, MAKER)
    live = await house.campaigns.approve(view.row.id, CHECKER)
    assert (live.row.status, live.version.number, live.version.status, live.draft) == ("active", 2, "live", None)
    old = await CampaignVersion.get(id=view.version.id)
    assert (old.status, old.superseded_at) == ("superseded", live.version.live_at)
    assert [state.total for state in live.budgets] == [1_000]
    assert await BudgetRequest.filter(budget_id=live.budgets[0].id).count() == 1


async def test_a_fact_is_judged_by_the_version_that_was_live_when_it_occurred(house: House) -> None:
    view = await house.live_campaign()
    during_first = house.clock.now()
    await revised(house, view.row.id, points=7)
    first, second = next(RESIDENTS), next(RESIDENTS)
    await house.tell(first, during_first)
    await house.tell(second)
    for resident in (first, second):
        await house.awards.on_fact(await Event.get(key=f"resident:{resident}"))
    assert (await house.points(first), await house.points(second)) == (100, 7)
    numbers = [(await Award.get(resident_id=one).select_related("version")).version.number for one in (first, second)]
    assert numbers == [1, 2]
    spans = await CampaignSpan.filter(campaign_id=view.row.id).order_by("from_at")
    assert spans[0].until_at == spans[1].from_at
    assert spans[1].until_at is None


async def test_a_limit_counts_on_over_versions(house: House) -> None:
    template = await house.live_template(limits=per_person(2, action="issue"), price_points=0)
    coupons, resident = CouponService(vault=house.app, templates=house.templates), next(RESIDENTS)
    await house.app.open_wallet(resident)
    for _ in range(2):
        await coupons.claim(resident, uuid7(house.clock.now()), template.row.id)
    draft = house.template(limits=per_person(3, action="issue"), price_points=0, stock=None)
    await house.templates.revise(template.row.id, draft, MAKER)
    await house.templates.submit(template.row.id, MAKER)
    await house.templates.approve(template.row.id, CHECKER)
    fresh = CouponService(vault=house.app, templates=TemplateService(vault=house.app, clock=house.clock))
    await fresh.claim(resident, uuid7(house.clock.now()), template.row.id)
    with pytest.raises(Refused, match="limit_reached"):
        await fresh.claim(resident, uuid7(house.clock.now()), template.row.id)


async def test_a_coupon_keeps_the_terms_it_was_claimed_under_and_its_claim_answers_the_same(house: House) -> None:
    template = await house.live_template(price_points=0, face_value_fen=2_000)
    resident, key = next(RESIDENTS), uuid7(house.clock.now())
    await house.app.open_wallet(resident)
    coupons = CouponService(vault=house.app, templates=house.templates)
    first, benefit = await coupons.claim(resident, key, template.row.id)
    draft = house.template(price_points=0, face_value_fen=1_500, threshold_fen=4_000, stock=None)
    await house.templates.revise(template.row.id, draft, MAKER)
    await house.templates.submit(template.row.id, MAKER)
    live = await house.templates.approve(template.row.id, CHECKER)
    fresh = CouponService(vault=house.app, templates=TemplateService(vault=house.app, clock=house.clock))
    again, same = await fresh.claim(resident, key, template.row.id)
    assert (again.replayed, again.result.coupon_id, same) == (True, first.result.coupon_id, benefit)
    assert (await fresh.get(resident, first.result.coupon_id)).benefit.summary == "满50元减20元"
    other = next(RESIDENTS)
    await house.app.open_wallet(other)
    claimed, newer = await fresh.claim(other, uuid7(house.clock.now()), template.row.id)
    assert (claimed.result.terms, newer.summary) == (live.version.id, "满40元减15元")


async def test_what_only_a_top_up_may_change_is_refused_in_a_version(house: House) -> None:
    view = await house.live_campaign()
    template = await house.live_template(sponsor_bp=0)
    with pytest.raises(BudgetFixed) as refused:
        await house.campaigns.revise(view.row.id, house.campaign(budget_points=2_000), MAKER)
    assert refused.value.field == "budget_points"
    for changes, field in (({"stock": 11}, "stock"), ({"stock": None, "sponsor_bp": 10_000}, "budget_fen")):
        with pytest.raises(BudgetFixed) as refused:
            await house.templates.revise(template.row.id, house.template(**changes), MAKER)
        assert refused.value.field == field
    same = await house.campaigns.revise(view.row.id, house.campaign(budget_points=1_000), MAKER)
    assert same.draft is not None
    with pytest.raises(DraftOpen):
        await house.campaigns.revise(view.row.id, house.campaign(budget_points=1_000), MAKER)
    with pytest.raises(InvalidField) as missing:
        await house.campaigns.create(house.campaign(budget_points=None), MAKER)
    assert missing.value.field == "budget_points"


async def test_a_rejected_version_goes_back_with_a_comment_and_can_be_withdrawn_and_sent_again(house: House) -> None:
    made = await house.campaigns.create(house.campaign(), MAKER)
    with pytest.raises(WrongStatus):
        await house.campaigns.reject(made.row.id, "太早", CHECKER)
    await house.campaigns.submit(made.row.id, MAKER)
    withdrawn = await house.campaigns.withdraw(made.row.id, MAKER)
    assert (withdrawn.row.status, withdrawn.version.status) == ("draft", "draft")
    await house.campaigns.submit(made.row.id, MAKER)
    with pytest.raises(InvalidField):
        await house.campaigns.reject(made.row.id, " ", CHECKER)
    back = await house.campaigns.reject(made.row.id, "预算依据不符", CHECKER)
    assert (back.row.status, back.version.status, back.version.comment) == ("draft", "rejected", "预算依据不符")
    with pytest.raises(WrongStatus):
        await house.campaigns.approve(made.row.id, CHECKER)
    edited = await house.campaigns.edit(made.row.id, house.campaign(points=50), MAKER)
    assert (edited.version.status, edited.version.number) == ("draft", 1)
    await house.campaigns.submit(made.row.id, MAKER)
    assert (await house.campaigns.approve(made.row.id, CHECKER)).row.status == "active"


async def test_what_ended_is_archived_and_never_comes_back(house: House) -> None:
    view = await house.live_campaign()
    with pytest.raises(WrongStatus):
        await house.campaigns.archive(view.row.id, CHECKER)
    await house.campaigns.end(view.row.id, CHECKER)
    assert (await house.campaigns.archive(view.row.id, CHECKER)).row.status == "archived"
    for move in (house.campaigns.resume, house.campaigns.end, house.campaigns.archive):
        with pytest.raises(WrongStatus):
            await move(view.row.id, CHECKER)
    with pytest.raises(WrongStatus):
        await house.campaigns.revise(view.row.id, house.campaign(budget_points=None), MAKER)
    with pytest.raises(AlreadyLive):
        await house.campaigns.edit(view.row.id, house.campaign(), MAKER)


async def test_a_copy_of_any_version_is_a_draft_of_its_own(house: House) -> None:
    view = await house.live_campaign(title="长" * 60)
    await revised(house, view.row.id, points=7)
    newest = await house.campaigns.copy(view.row.id, THIRD)
    oldest = await house.campaigns.copy(view.row.id, THIRD, 1)
    assert newest.row.id != view.row.id
    assert (newest.row.status, newest.version.created_by, [one.planned for one in newest.budgets]) == (
        "draft", THIRD.admin_id, [1_000],
    )  # fmt: skip
    assert oldest.version.title == "长" * 56 + "（副本）"
    assert ("可获得7积分" in newest.terms_text, "可获得100积分" in oldest.terms_text) == (True, True)


async def test_two_versions_are_compared_field_by_field(house: House) -> None:
    view = await house.live_campaign()
    await revised(house, view.row.id, points=7, limits=per_person(2, "day"), title="新名字")
    found = await house.campaigns.difference(view.row.id, 1, 2)
    fields = {name: (before, after) for name, before, after in found.fields if not name.endswith("_at")}
    assert fields == {
        "title": ("实名有礼", "新名字"),
        "rule.effect.points": (100, 7),
        "limits": (view.version.limits, [dict(view.version.limits[0], cap=2, period="day")]),
    }
    assert ("每人限1次" in found.before_text, "每人每日限2次" in found.after_text) == (True, True)
    assert not (await house.campaigns.difference(view.row.id, 2, 2)).fields


@pytest.mark.parametrize("calls", range(2))
async def test_a_change_that_breaks_on_its_way_is_finished_by_the_worker(house: House, calls: int) -> None:
    view = await house.live_campaign()
    await house.campaigns.revise(view.row.id, house.campaign(points=7, budget_points=None), MAKER)
    await house.campaigns.submit(view.row.id, MAKER)
    cut = CampaignService(vault=Unreachable(house.app, calls), clock=house.clock)  # type: ignore[arg-type]
    with pytest.raises(VaultUnavailable):
        await cut.approve(view.row.id, CHECKER)
    waiting = await house.campaigns.get(view.row.id)
    assert (waiting.row.status, waiting.version.number, waiting.draft and waiting.draft.status) == (
        "active", 1, "approved",
    )  # fmt: skip
    await Campaign.filter(id=view.row.id).update(changed_at=house.clock.now() - timedelta(seconds=6))
    await CampaignService(vault=house.worker, clock=house.clock).redrive()
    done = await house.campaigns.get(view.row.id)
    assert (done.row.status, done.version.number, done.budgets[0].total) == ("active", 2, 1_000)


async def test_a_change_of_what_is_paused_leaves_it_paused(house: House) -> None:
    view = await house.live_template()
    await house.templates.pause(view.row.id, CHECKER)
    await house.templates.revise(view.row.id, house.template(stock=None, face_value_fen=1_000), MAKER)
    await house.templates.submit(view.row.id, MAKER)
    changed = await house.templates.approve(view.row.id, CHECKER)
    assert (changed.row.status, changed.version.number, {state.open for state in changed.budgets}) == (
        "paused", 2, {False},
    )  # fmt: skip
    resumed = await house.templates.resume(view.row.id, CHECKER)
    assert (resumed.row.status, {state.open for state in resumed.budgets}) == ("active", {True})


async def test_eight_editors_at_once_open_one_version(house: House) -> None:
    view = await house.live_campaign()
    draft = house.campaign(points=7, budget_points=None)
    tries = [house.campaigns.revise(view.row.id, draft, Signed(100 + n, "r")) for n in range(8)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, DraftOpen) for answer in answers) == 7
    assert [one.number for one, _ in await house.campaigns.versions(view.row.id)] == [2, 1]


async def counted(house: House) -> list[int]:
    """How many rows the room has, and the vault's budgets, terms and entries."""
    tables = (
        "campaign", "campaign_version", "coupon_template", "coupon_template_version", "budget", "budget_request",
        "campaign_span", "audit_entry", "vault.budget", "vault.budget_entry", "vault.earn_terms", "vault.coupon_terms",
    )  # fmt: skip
    return [(await fetch(f"SELECT count(*) AS n FROM {table}"))[0]["n"] for table in tables]


async def test_a_simulated_write_answers_as_the_real_one_and_changes_nothing(house: House) -> None:
    look = Signed(MAKER.admin_id, "r-sim", simulate=True)
    check = Signed(CHECKER.admin_id, "r-sim", simulate=True)
    before = await counted(house)
    made = await house.campaigns.create(house.campaign(), look)
    assert (made.row.status, [one.planned for one in made.budgets], made.effects is not None) == (
        "draft", [1_000], True,
    )  # fmt: skip
    assert await counted(house) == before
    real = await house.campaigns.create(house.campaign(), MAKER)
    with pytest.raises(WrongStatus):
        await house.campaigns.approve(real.row.id, check)
    await house.campaigns.submit(real.row.id, MAKER)
    with pytest.raises(SecondPersonRequired):
        await house.campaigns.approve(real.row.id, look)
    before = await counted(house)
    approved = await house.campaigns.approve(real.row.id, check)
    assert approved.effects is not None
    assert (approved.row.status, approved.version.status) == ("active", "live")
    assert [(one.unit, one.amount) for one in approved.effects.budgets] == [("points", 1_000)]
    changed = {one.field: (one.before, one.after) for one in approved.effects.changes}
    assert changed["status"] == ("in_review", "active")
    assert changed["version.approved_by"] == (None, CHECKER.admin_id)
    assert await counted(house) == before
    assert (await house.campaigns.get(real.row.id)).row.status == "in_review"


async def test_a_simulated_top_up_shows_the_amount_and_books_nothing(house: House) -> None:
    view = await house.live_campaign()
    budget, key = view.budgets[0].id, uuid7(house.clock.now())
    asked = await house.budgets.request_top_up(budget, key, 500, "追加1号", Signed(1, "r-sim", simulate=True))
    assert (asked[0].status, asked[2] is not None) == ("requested", True)
    assert await BudgetRequest.get_or_none(id=key) is None
    await house.budgets.request_top_up(budget, key, 500, "追加1号", MAKER)
    request, effects = await house.budgets.approve(key, Signed(2, "r-sim", simulate=True))
    assert effects is not None
    assert (request.status, [(one.unit, one.amount) for one in effects.budgets]) == ("approved", [("points", 500)])
    assert (await house.budgets.state(budget)).total == 1_000
    assert (await BudgetRequest.get(id=key)).status == "requested"


async def test_the_audit_trail_of_a_version_tells_who_approved_it(house: House) -> None:
    view = await house.live_campaign()
    await revised(house, view.row.id, points=7, by=THIRD)
    entry = await AuditEntry.filter(
        object_kind="campaign", object_id=str(view.row.id), action="campaign.activated"
    ).last()
    assert entry is not None
    after = entry.after["version"]
    assert (after["number"], after["created_by"], after["approved_by"], after["rule"]["effect"]["points"]) == (
        2, THIRD.admin_id, CHECKER.admin_id, 7,
    )  # fmt: skip


async def test_a_start_that_is_over_at_the_approval_is_lifted_so_that_the_text_promises_no_past(house: House) -> None:
    now = house.clock.now()
    draft = house.campaign(starts_at=now - timedelta(days=3), ends_at=now + timedelta(days=9))
    made = await house.campaigns.create(draft, MAKER)
    await house.campaigns.submit(made.row.id, MAKER)
    seen = await house.campaigns.approve(made.row.id, replace(CHECKER, simulate=True))
    assert seen.effects is not None and "version.starts_at" in [one.field for one in seen.effects.changes]
    live = await house.campaigns.approve(made.row.id, CHECKER)
    assert live.version.approved_at is not None
    assert live.version.starts_at == live.version.approved_at.replace(microsecond=0)
    full = live.version.starts_at + timedelta(seconds=59)  # the minute that has begun is not promised whole
    assert f"活动时间：{moment_text(full, house.clock.zone)}至" in live.terms_text
    later = await revised(house, live.row.id, points=7, starts_at=now - timedelta(days=2))
    assert later.version.starts_at == live.version.starts_at, "a later version says since when the campaign runs"

    over = {"kind": "between", "last_day": str((now - timedelta(days=1)).astimezone(house.clock.zone).date())}
    fact = {"trigger": {"kind": "fact", "fact": "login_day"}, "effect": {"kind": "points", "points": 1}}
    late = await house.campaigns.create(
        replace(draft, rule=rule_of(fact | {"condition": over})), MAKER
    )  # when it was written, its days were to come
    await house.campaigns.submit(late.row.id, MAKER)
    with pytest.raises(RuleRefused):
        await house.campaigns.approve(late.row.id, CHECKER)
