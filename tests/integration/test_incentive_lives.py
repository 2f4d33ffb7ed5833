"""The lives of campaigns and templates: two people, immutable versions, budgets as the ledger has them."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest
from tortoise.exceptions import IntegrityError, OperationalError

from server.incentives.budgets import BudgetService
from server.incentives.campaigns import CampaignService
from server.incentives.commands import Signed
from server.incentives.course import View
from server.incentives.errors import (
    AlreadyLive,
    RevisionChanged,
    SecondPersonRequired,
    TemplateNotFound,
    WrongStatus,
)
from server.incentives.models import (
    BudgetRequest,
    Campaign,
    CampaignSpan,
    CampaignVersion,
    CouponTemplate,
    CouponTemplateVersion,
    Fact,
)
from server.incentives.templates import TemplateService
from server.kit.audit import AuditEntry
from server.kit.clock import Clock
from server.kit.db import fetch
from server.kit.ids import uuid7
from tests.support.incentives import (
    CHECKER,
    MAKER,
    THIRD,
    House,
    Unreachable,
    house,
    opened,
    per_person,
    points_rule,
)
from wallet import Refused, VaultUnavailable

__all__ = ["house", "opened"]


_numbers = itertools.count(1)


@pytest.fixture
def resident() -> int:
    return 5_000 + next(_numbers)


async def test_the_last_editor_cannot_approve(house: House) -> None:
    made = await house.campaigns.create(house.campaign(), MAKER)
    await house.campaigns.submit(made.row.id, MAKER)
    with pytest.raises(SecondPersonRequired):
        await house.campaigns.approve(made.row.id, MAKER)
    await house.campaigns.edit(made.row.id, house.campaign(points=50), CHECKER)
    await house.campaigns.submit(made.row.id, MAKER)
    with pytest.raises(SecondPersonRequired):
        await house.campaigns.approve(made.row.id, CHECKER)
    assert (await house.campaigns.approve(made.row.id, MAKER)).row.status == "active"


async def test_the_database_itself_refuses_one_person_in_both_roles(house: House) -> None:
    made = await house.campaigns.create(house.campaign(), MAKER)
    coupon = await house.templates.create(house.template(), MAKER)
    now = house.clock.now()
    alone = {"status": "approved", "approved_by": MAKER.admin_id, "approved_at": now}
    for service, version, made_ in (
        (house.campaigns, CampaignVersion, made), (house.templates, CouponTemplateVersion, coupon)
    ):  # fmt: skip
        await service.submit(made_.row.id, MAKER)  # type: ignore[attr-defined]
        for change in (alone, alone | {"approved_by": None, "approved_at": None}):
            with pytest.raises(IntegrityError, match="_version_two_people"):
                await version.filter(id=made_.version.id).update(**change)  # type: ignore[attr-defined]


async def test_the_database_itself_lets_nothing_run_that_was_not_approved(house: House) -> None:
    made = await house.campaigns.create(house.campaign(), MAKER)
    live = await house.live_campaign()
    for change in (
        {"status": "active"}, {"status": "approved"}, {"status": "active", "live_version": made.version.id},
        {"status": "active", "live_version": live.version.id},
    ):  # fmt: skip
        with pytest.raises((IntegrityError, OperationalError)):
            await Campaign.filter(id=made.row.id).update(**change)
    with pytest.raises((IntegrityError, OperationalError)):
        await Campaign.filter(id=live.row.id).update(live_version=made.version.id)
    with pytest.raises((IntegrityError, OperationalError)):
        await Campaign.filter(id=live.row.id).update(status="draft", live_version=None)
    with pytest.raises((IntegrityError, OperationalError)):
        await fetch(
            "INSERT INTO campaign_version SELECT (jsonb_populate_record(v, jsonb_build_object('id', 99999, 'number', 2,"
            " 'status', 'live', 'submitted_by', 1, 'submitted_at', now(), 'approved_by', 2, 'approved_at', now(),"
            " 'live_at', now()))).* FROM campaign_version v WHERE id = $1",
            made.version.id,
        )


async def test_a_draft_cannot_be_approved_and_an_edit_sends_it_back(house: House) -> None:
    made = await house.templates.create(house.template(), MAKER)
    with pytest.raises(WrongStatus):
        await house.templates.approve(made.row.id, CHECKER)
    await house.templates.submit(made.row.id, MAKER)
    edited = await house.templates.edit(made.row.id, house.template(stock=20), MAKER)
    assert edited.row.status == "draft"
    assert {state.unit: state.planned for state in edited.budgets} == {"coupons": 20, "fen": 40_000}
    edited = await house.templates.edit(made.row.id, house.template(stock=20, sponsor_bp=0), MAKER)
    assert {state.unit: state.planned for state in edited.budgets} == {"coupons": 20}


async def test_what_was_not_reviewed_is_not_approved(house: House) -> None:
    made = await house.campaigns.create(house.campaign(), MAKER)
    seen = (await house.campaigns.submit(made.row.id, MAKER)).row.revision
    await house.campaigns.edit(made.row.id, house.campaign(points=900), MAKER)
    await house.campaigns.submit(made.row.id, MAKER)
    with pytest.raises(RevisionChanged):
        await house.campaigns.approve(made.row.id, CHECKER, revision=seen)


async def test_an_active_rule_cannot_be_edited_not_even_in_the_database(house: House) -> None:
    view = await house.live_campaign()
    with pytest.raises(AlreadyLive):
        await house.campaigns.edit(view.row.id, house.campaign(points=1), MAKER)
    for change in (
        {"rule": msgspec.to_builtins(points_rule(1))}, {"title": "别的"}, {"status": "draft"}, {"created_by": 9},
        {"limits": []}, {"approved_by": 9}, {"ends_at": view.version.ends_at + timedelta(days=1)},
    ):  # fmt: skip
        with pytest.raises((IntegrityError, OperationalError)):
            await CampaignVersion.filter(id=view.version.id).update(**change)
    for change in ({"status": "draft"}, {"created_by": 9}, {"live_version": None}):
        with pytest.raises((IntegrityError, OperationalError)):
            await Campaign.filter(id=view.row.id).update(**change)
    with pytest.raises((IntegrityError, OperationalError)):
        await CampaignVersion.filter(id=view.version.id).delete()
    with pytest.raises((IntegrityError, OperationalError)):
        await fetch("UPDATE budget SET planned = 5 WHERE id = $1", view.budgets[0].id)
    with pytest.raises((IntegrityError, OperationalError)):
        await Campaign.filter(id=view.row.id).delete()


async def test_facts_and_settled_requests_cannot_be_changed(house: House, resident: int) -> None:
    await house.live_campaign()
    await house.tell(resident)
    with pytest.raises((IntegrityError, OperationalError)):
        await Fact.filter(resident_id=resident).update(resident_id=1)
    with pytest.raises((IntegrityError, OperationalError)):
        await BudgetRequest.filter(status="done").update(amount=1)


async def test_every_change_leaves_its_before_and_after(house: House) -> None:
    view = await house.live_campaign()
    await house.campaigns.pause(view.row.id, THIRD)
    entries = await AuditEntry.filter(object_kind="campaign", object_id=str(view.row.id)).order_by("id")
    assert [(entry.action, entry.actor_id, entry.request_id) for entry in entries] == [
        ("campaign.created", "1", "r-1"), ("campaign.submitted", "1", "r-1"), ("campaign.approved", "2", "r-2"),
        ("campaign.activated", "system", ""), ("campaign.paused", "3", "r-3"),
    ]  # fmt: skip
    assert entries[0].before is None
    assert (entries[-1].before["status"], entries[-1].after["status"]) == ("active", "paused")
    assert entries[0].after["planned"] == {"points": 1_000}


@pytest.mark.parametrize("calls", range(7))
async def test_an_activation_that_breaks_anywhere_is_finished_by_the_worker(house: House, calls: int) -> None:
    made = await house.templates.create(house.template(), MAKER)
    await house.templates.submit(made.row.id, MAKER)
    worker = TemplateService(vault=house.worker, clock=house.clock)
    cut = TemplateService(vault=Unreachable(house.app, calls), clock=house.clock)  # type: ignore[arg-type]
    with pytest.raises(VaultUnavailable):
        await cut.approve(made.row.id, CHECKER)
    assert (await house.templates.get(made.row.id)).row.status == "approved"
    await worker.redrive()
    assert (await house.templates.get(made.row.id)).row.status == "approved"  # not yet 5 s old
    await CouponTemplate.filter(id=made.row.id).update(changed_at=house.clock.now() - timedelta(seconds=6))
    await worker.redrive()
    view = await house.templates.get(made.row.id)
    assert view.row.status == "active"
    assert {(state.unit, state.total, state.left, state.open) for state in view.budgets} == {
        ("coupons", 10, 10, True), ("fen", 20_000, 20_000, True),
    }  # fmt: skip


async def test_an_approval_that_broke_is_finished_when_it_is_asked_for_again(house: House) -> None:
    made = await house.templates.create(house.template(), MAKER)
    await house.templates.submit(made.row.id, MAKER)
    cut = TemplateService(vault=Unreachable(house.app, 3), clock=house.clock)  # type: ignore[arg-type]
    with pytest.raises(VaultUnavailable):
        await cut.approve(made.row.id, CHECKER)
    view = await house.templates.approve(made.row.id, CHECKER)
    assert (view.row.status, {state.left for state in view.budgets}) == ("active", {10, 20_000})


async def test_pausing_closes_the_budgets_and_resuming_opens_them(house: House) -> None:
    view = await house.live_template()
    paused = await house.templates.pause(view.row.id, CHECKER)
    assert (paused.row.status, {state.open for state in paused.budgets}) == ("paused", {False})
    with pytest.raises(WrongStatus):
        await house.templates.pause(view.row.id, CHECKER)
    resumed = await house.templates.resume(view.row.id, CHECKER)
    assert (resumed.row.status, {state.open for state in resumed.budgets}) == ("active", {True})
    ended = await house.templates.end(view.row.id, CHECKER)
    assert (ended.row.status, {state.open for state in ended.budgets}) == ("ended", {False})
    with pytest.raises(WrongStatus):
        await house.templates.resume(view.row.id, CHECKER)


async def test_a_budget_that_differs_from_its_status_is_set_right(house: House) -> None:
    view = await house.live_template()
    await house.app.close_budget(view.budgets[0].id)
    await house.templates.redrive()
    assert all(state.open for state in (await house.templates.get(view.row.id)).budgets)


async def test_time_starts_and_ends_a_campaign(house: House) -> None:
    now = house.clock.now()
    view = await house.live_campaign(starts_at=now + timedelta(hours=1), ends_at=now + timedelta(hours=2))
    assert view.row.status == "scheduled"
    ahead = Clock()
    service = CampaignService(vault=house.worker, clock=ahead)
    ahead.follow(now + timedelta(minutes=90))
    await service.redrive()
    assert (await house.campaigns.get(view.row.id)).row.status == "active"
    ahead.follow(now + timedelta(minutes=150))
    await service.redrive()
    ended = (await house.campaigns.get(view.row.id)).row
    assert (ended.status, ended.end_reason) == ("ended", "time")
    assert (await CampaignSpan.get(campaign_id=view.row.id)).until_at == view.version.ends_at


async def test_a_top_up_needs_two_people_and_is_booked_once(house: House) -> None:
    view = await house.live_campaign()
    budget_id, key = view.budgets[0].id, uuid7(house.clock.now())
    request, replayed, _ = await house.budgets.request_top_up(budget_id, key, 500, "追加1号", MAKER)
    assert (request.status, replayed) == ("requested", False)
    assert (await house.budgets.request_top_up(budget_id, key, 500, "追加1号", MAKER))[1] is True
    with pytest.raises(Refused, match="idempotency_mismatch"):
        await house.budgets.request_top_up(budget_id, key, 501, "追加1号", MAKER)
    with pytest.raises(SecondPersonRequired):
        await house.budgets.approve(key, MAKER)
    assert (await house.budgets.state(budget_id)).total == 1_000
    for _ in range(2):
        assert (await house.budgets.approve(key, CHECKER))[0].status == "done"
    with pytest.raises(WrongStatus):
        await house.budgets.approve(key, THIRD)
    assert (await house.budgets.state(budget_id)).total == 1_500
    with pytest.raises((IntegrityError, asyncpg.PostgresError)):
        await fetch(
            "INSERT INTO budget_request (id, budget_id, kind, amount, document, requested_by, requested_at, status,"
            " reason, approved_by, approved_at) VALUES ($1, $2, 'topup', 1, 'x', 1, now(), 'approved', '', 1, now())",
            uuid7(house.clock.now()), budget_id,
        )  # fmt: skip


async def test_a_top_up_cut_off_after_its_approval_is_booked_by_the_worker(house: House) -> None:
    view = await house.live_campaign()
    key = uuid7(house.clock.now())
    await house.budgets.request_top_up(view.budgets[0].id, key, 500, "追加2号", MAKER)
    cut = BudgetService(vault=Unreachable(house.app, 0), clock=house.clock)  # type: ignore[arg-type]
    assert (await cut.approve(key, CHECKER))[0].status == "approved"
    ahead = Clock()
    ahead.follow(house.clock.now() + timedelta(seconds=10))
    assert await BudgetService(vault=house.worker, clock=ahead).redrive() == 1
    assert (await house.budgets.state(view.budgets[0].id)).total == 1_500


async def test_a_top_up_of_a_draft_or_with_an_old_key_is_refused(house: House) -> None:
    draft = await house.campaigns.create(house.campaign(), MAKER)
    with pytest.raises(WrongStatus):
        await house.budgets.request_top_up(draft.budgets[0].id, uuid7(house.clock.now()), 5, "追加3号", MAKER)
    old: UUID = uuid7(house.clock.now() - timedelta(hours=49))
    with pytest.raises(Refused, match="idempotency_key_expired"):
        await house.budgets.request_top_up(draft.budgets[0].id, old, 5, "追加3号", MAKER)


async def test_residents_see_what_is_live_with_its_rule_and_what_is_left(house: House) -> None:
    view = await house.live_template(title="体验券")
    draft = await house.templates.create(house.template(title="未批准"), MAKER)
    fresh = TemplateService(vault=house.app, clock=house.clock)
    shown = {item.benefit.template_id: item for item in await fresh.claimable()}
    assert draft.row.id not in shown
    assert shown[view.row.id].left == 10
    assert shown[view.row.id].benefit.terms_text == view.terms_text
    benefit = await fresh.benefit(view.version.id)
    assert (benefit.summary, benefit.needs_order_amount) == ("满50元减20元", True)
    with pytest.raises(TemplateNotFound):
        await fresh.benefit(draft.version.id)
    live = await house.live_campaign()
    assert live.row.id in {one.id for one in await house.campaigns.live()}
    await house.campaigns.pause(live.row.id, CHECKER)
    assert live.row.id not in {one.id for one in await house.campaigns.live()}


async def test_eight_approvals_at_once_activate_and_fund_once(house: House) -> None:
    made = await house.templates.create(house.template(), MAKER)
    await house.templates.submit(made.row.id, MAKER)
    tries = [house.templates.approve(made.row.id, Signed(100 + n, "r")) for n in range(8)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, View) for answer in answers) == 1
    assert sum(isinstance(answer, WrongStatus) for answer in answers) == 7
    states = (await house.templates.get(made.row.id)).budgets
    assert {(state.unit, state.total) for state in states} == {("coupons", 10), ("fen", 20_000)}


async def test_a_coupon_of_each_kind_can_be_claimed_down_to_the_last(house: House, resident: int) -> None:
    odd = {"kind": "discount", "face_value_fen": 0, "threshold_fen": 0, "pay_bp": 8_500, "cap_fen": 3_001}
    for change in (
        {},
        odd | {"sponsor_bp": 3_333},
        {"sponsor_bp": 0},
        {"kind": "exchange", "threshold_fen": 0, "face_value_fen": 0},
    ):
        view = await house.live_template(stock=2, price_points=0, limits=per_person(3, action="issue"), **change)
        await house.app.open_wallet(resident)
        for _ in range(2):
            await house.app.claim(resident, uuid7(house.clock.now()), template_id=view.row.id, terms_id=view.version.id)
        with pytest.raises(Refused, match="sold_out"):
            await house.app.claim(resident, uuid7(house.clock.now()), template_id=view.row.id, terms_id=view.version.id)
        stock = next(state for state in (await house.templates.get(view.row.id)).budgets if state.unit == "coupons")
        assert (stock.total, stock.left) == (2, 0)
