"""Coupons that are owed: written down once, given once, given up or tried again; and jobs that may stop anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError

from server.incentives.errors import SecondPersonRequired, WrongStatus
from server.incentives.grants.desk import Settled
from server.incentives.grants.errors import (
    RecipientListEmpty,
    RecipientListNotReady,
    SegmentGiftNotOpen,
    SegmentTooSmall,
    TemplateNotLive,
)
from server.incentives.grants.jobs import KIND, Order
from server.incentives.grants.models import CouponGrant, GrantJob, RecipientList
from server.incentives.limits import Limit
from server.kit.audit import AuditEntry
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.jobs import run_due
from server.kit.sheets import SheetUnreadable
from server.sandbox.engines import Engines
from server.services import Services
from tests.support.databases import Database, connected
from tests.support.grants import (
    CHECKER,
    DOCUMENT,
    MAKER,
    THIRD,
    coupons_of,
    enrol,
    listed,
    live_template,
    ordered,
    owe,
    work,
)
from tests.support.jobs import open_jobs
from tests.support.patience import until
from wallet import Refused
from wallet.audit import prove


@pytest_asyncio.fixture(scope="module")
async def services(engines: Engines, database: Database) -> AsyncIterator[Services]:
    async with open_jobs(engines, database) as opened:
        yield opened
    assert [one for one in await prove(database.worker) if one.broken] == []


async def due_now() -> None:
    # A moment ago: the house's clock follows the database's and may be a little behind it.
    await fetch("UPDATE coupon_grant SET due_at = vault.now() - interval '1 minute' WHERE status = 'pending'")


async def test_what_is_owed_is_written_down_once_and_given_once(services: Services) -> None:
    (resident,), template = await enrol(1), await live_template(services)
    told = await asyncio.gather(*(owe(services, resident, template, "a") for _ in range(20)))
    assert sorted(told) == [False] * 19 + [True]
    await asyncio.gather(*(services.grants.redrive() for _ in range(5)))
    assert await coupons_of([resident]) == {resident: 1}
    grant = await CouponGrant.get(source="test", source_id="a")
    assert (grant.status, grant.reason) == ("posted", "")
    (row,) = await services.vault.read.entries(resident, before_seq=None, limit=10)
    assert (row.id, row.detail["granted"], row.detail["price_points"]) == (grant.vault_id, "test:a", 0)
    assert await owe(services, resident, template, "a") is False


async def test_what_a_failed_transaction_owed_is_not_owed(services: Services) -> None:
    (resident,), template = await enrol(1), await live_template(services)
    with pytest.raises(RuntimeError):
        async with transaction() as tx:
            await services.grants.owe(tx, resident, template, "test", "never")
            raise RuntimeError
    assert await CouponGrant.filter(source_id="never").count() == 0


async def test_sold_out_and_limits_are_final_and_a_pause_is_waited_for(services: Services) -> None:
    first, second, third = await enrol(3)
    template = await live_template(services, stock=2)
    for resident, name in ((first, "1"), (first, "2"), (second, "3"), (third, "4")):
        await owe(services, resident, template, f"final {name}")
        await services.grants.redrive()
    seen = {row.source_id: row.reason or row.status for row in await CouponGrant.filter(template_id=template)}
    assert seen == {"final 1": "posted", "final 2": "limit_reached", "final 3": "posted", "final 4": "sold_out"}

    paused, waiting = await live_template(services), (await enrol(1))[0]
    await services.templates.pause(paused, CHECKER)
    await owe(services, waiting, paused, "pause")
    await services.grants.redrive()
    grant = await CouponGrant.get(source_id="pause")
    assert (grant.status, grant.attempts) == ("pending", 1)
    assert grant.due_at > services.clock.now()
    await services.templates.resume(paused, CHECKER)
    await due_now()
    await services.grants.redrive()
    assert (await CouponGrant.get(source_id="pause")).status == "posted"


async def test_what_an_ended_template_owes_is_given_up(services: Services) -> None:
    (resident,), template = await enrol(1), await live_template(services)
    await owe(services, resident, template, "ended")
    await services.templates.end(template, CHECKER)
    await services.grants.redrive()
    grant = await CouponGrant.get(source_id="ended")
    assert (grant.status, grant.reason) == ("refused", "terms_closed")


async def test_a_template_that_is_over_owes_nothing_more_but_what_was_promised_or_happened_before(
    services: Services,
) -> None:
    (one, winner, late), template = await enrol(3), await live_template(services)
    before = services.clock.now()
    await owe(services, one, template, "while it ran")
    assert await services.templates.end_exhausted(template)
    with pytest.raises(Refused, match="terms_closed"):
        await owe(services, late, template, "too late")
    assert await owe(services, one, template, "while it ran") is False, "what was owed stays as it was told"
    assert await owe(services, winner, template, "1:1:1", "lottery")
    async with transaction() as tx:
        assert await services.grants.owe(tx, late, template, "test", "told late", before)
    await services.grants.redrive()
    assert await coupons_of([one, winner, late]) == {one: 1, winner: 1, late: 1}


async def test_whoever_gives_up_is_told_in_the_same_transaction(services: Services) -> None:
    (resident,), template = await enrol(1), await live_template(services)
    told: list[Settled] = []

    async def settle(_tx: object, settled: Sequence[Settled]) -> None:
        told.extend(settled)

    services.grants._settled["given_back"] = settle
    await owe(services, resident, template, "x", "given_back")
    await services.templates.end(template, CHECKER)
    await services.grants.redrive()
    assert told == [Settled("x", "refused", "terms_closed")]


async def test_a_grant_stands_as_it_was_owed_and_is_settled_once(services: Services, database: Database) -> None:
    (resident,), template = await enrol(1), await live_template(services)
    await owe(services, resident, template, "fixed")
    await services.grants.redrive()
    for change in ("status = 'pending', settled_at = NULL", "resident_id = 1", "reason = 'x'"):
        async with connected(database.app) as app:
            with pytest.raises(Exception, match="stands"):
                await app.execute(f"UPDATE coupon_grant SET {change} WHERE source_id = 'fixed'")


async def test_a_file_becomes_a_list_of_those_who_take_part(services: Services) -> None:
    people = await enrol(3)
    text = f"居民编号,备注\n{people[1]},x\nabc\n{people[0]}\n{people[1]}\n{people[2]}\n999999999\n0\n{'9' * 30}\n"
    taken = await services.recipient_lists.take("春节", text.encode("gb18030"), MAKER)
    row = taken.row
    assert (row.status, row.taken, row.unknown, row.repeated, row.unreadable) == ("ready", 3, 1, 1, 3)
    assert sorted(taken.lines) == [
        (3, "unreadable"), (5, "repeated"), (7, "unknown"), (8, "unreadable"), (9, "unreadable")
    ]  # fmt: skip
    assert await fetch("SELECT resident_id FROM recipient WHERE list_id = $1 ORDER BY 1", row.id) == [
        {"resident_id": one} for one in people
    ]


async def test_who_was_on_a_list_is_forgotten_when_no_job_needs_it_any_more(services: Services) -> None:
    people = await enrol(2)
    view = await ordered(services, people)
    chosen = view.row.list_id
    await fetch("UPDATE recipient_list SET created_at = created_at - interval '91 days' WHERE id = $1", chosen)
    assert await services.recipient_lists.purge(100) == 0
    await services.grant_jobs.cancel(view.row.id, MAKER)
    assert await services.recipient_lists.purge(1) == 1
    assert await services.recipient_lists.purge(100) == 1
    assert (await services.recipient_lists.get(chosen)).status == "cleared"
    with pytest.raises(RecipientListNotReady):
        await services.grant_jobs.order(Order(view.row.template_id, chosen, 10, DOCUMENT), MAKER)


@pytest.mark.parametrize(
    ("content", "refusal"), [(b"999999999\n", RecipientListEmpty), (b"1\n\xff\xff\xff", SheetUnreadable)]
)
async def test_a_file_that_names_nobody_or_breaks_off_leaves_no_list(
    services: Services, content: bytes, refusal: type[Exception]
) -> None:
    before = await RecipientList.all().count()
    with pytest.raises(refusal):
        await services.recipient_lists.take("x", content, MAKER)
    assert await RecipientList.all().count() == before


async def test_a_job_is_ordered_by_one_approved_by_another_and_gives_each_resident_one(services: Services) -> None:
    people = await enrol(25)
    view = await ordered(services, people)
    assert (view.row.status, view.row.recipients) == ("requested", 25)
    await work(services)
    assert await coupons_of(people) == {}
    with pytest.raises(SecondPersonRequired):
        await services.grant_jobs.approve(view.row.id, MAKER)
    await services.grant_jobs.approve(view.row.id, CHECKER)
    with pytest.raises(WrongStatus):
        await services.grant_jobs.approve(view.row.id, THIRD)
    await work(services)
    assert await coupons_of(people) == dict.fromkeys(people, 1)
    done = (await services.grant_jobs.get(view.row.id)).row
    assert (done.status, done.owed, done.posted, done.refused) == ("finished", 25, 25, 0)
    actions = [
        one.action for one in await AuditEntry.filter(object_kind="grant_job", object_id=str(done.id)).order_by("id")
    ]
    assert actions == ["grant_job.ordered", "grant_job.approved", "grant_job.finished"]


async def test_a_segment_s_job_gives_to_those_who_were_of_it_when_it_was_approved(services: Services) -> None:
    day = {"enrolled_from": "2021-03-04", "enrolled_until": "2021-03-04"}
    then = datetime(2021, 3, 4, 12, tzinfo=UTC)
    people = await enrol(12, then)
    segment = (await services.segments.create("三月四日", day, MAKER)).row.id
    template = await live_template(services)
    order = Order(template, None, 5, DOCUMENT, segment_id=segment)
    plan = await services.grant_jobs.plan(order, MAKER)
    assert (plan.recipients, plan.fen, plan.enough) == (10, 5_000, True)
    view = await services.grant_jobs.order(order, MAKER)
    assert (view.row.recipients, view.row.snapshot_id) == (0, None)
    people += await enrol(3, then)
    await services.grant_jobs.approve(view.row.id, CHECKER)
    await services.grant_jobs._gather(view.row.id)
    late = await enrol(2, then)
    await services.segments.edit(segment, "三月四日", day | {"enrolled_until": "2021-03-05"}, MAKER)
    await work(services)
    done = (await services.grant_jobs.get(view.row.id)).row
    assert (done.status, done.recipients, done.owed, done.posted) == ("finished", 15, 15, 15)
    assert await coupons_of([*people, *late]) == dict.fromkeys(people, 1)
    assert await services.segment_snapshots.members(done.snapshot_id) == people


async def test_what_a_personal_segment_is_given_others_can_claim(services: Services) -> None:
    await fetch("INSERT INTO interest VALUES ('sport', '运动', 1, true) ON CONFLICT DO NOTHING")
    segment = (await services.segments.create("爱运动", {"interests": ["sport"]}, MAKER)).row.id
    closed, open_ = await live_template(services, claimable=False), await live_template(services)
    with pytest.raises(SegmentGiftNotOpen):
        await services.grant_jobs.order(Order(closed, None, 5, DOCUMENT, segment_id=segment), MAKER)
    plain = (await services.segments.create("全体", {}, MAKER)).row.id
    ordered_closed = await services.grant_jobs.order(Order(closed, None, 5, DOCUMENT, segment_id=plain), MAKER)
    await services.segments.edit(plain, "全体", {"interests": ["sport"]}, MAKER)
    with pytest.raises(SegmentGiftNotOpen):
        await services.grant_jobs.approve(ordered_closed.row.id, CHECKER)
    await services.grant_jobs.order(Order(open_, None, 5, DOCUMENT, segment_id=segment), MAKER)


async def test_a_segment_of_too_few_is_given_nothing(services: Services) -> None:
    people = await enrol(9, datetime(2021, 5, 6, 12, tzinfo=UTC))
    day = {"enrolled_from": "2021-05-06", "enrolled_until": "2021-05-06"}
    segment = (await services.segments.create("五月六日", day, MAKER)).row.id
    order = Order(await live_template(services), None, 5, DOCUMENT, segment_id=segment)
    with pytest.raises(SegmentTooSmall):
        await services.grant_jobs.plan(order, MAKER)
    view = await services.grant_jobs.order(order, MAKER)
    await services.grant_jobs.approve(view.row.id, CHECKER)
    await work(services)
    done = (await services.grant_jobs.get(view.row.id)).row
    assert (done.status, done.why, done.owed) == ("cancelled", "segment_too_small", 0)
    assert await coupons_of(people) == {}


async def test_the_database_refuses_one_person_for_both_and_any_other_order(services: Services) -> None:
    view = await ordered(services, await enrol(1))
    with pytest.raises(IntegrityError):
        async with transaction() as tx:
            await tx.execute_query(
                "UPDATE grant_job SET status = 'running', approved_by = created_by, approved_at = vault.now()"
                " WHERE id = $1", [view.row.id],
            )  # fmt: skip
    for change in ("per_second = 7", "recipients = 0", "document = 'x'", "position = -1"):
        with pytest.raises(IntegrityError):
            async with transaction() as tx:
                await tx.execute_query(f"UPDATE grant_job SET {change} WHERE id = $1", [view.row.id])


async def test_a_job_pauses_between_pages_goes_on_and_is_cancelled_for_good(services: Services) -> None:
    people = await enrol(30)
    view = await ordered(services, people, per_second=10)
    await services.grant_jobs.approve(view.row.id, CHECKER)
    walking = asyncio.create_task(run_due({KIND: services.grant_jobs.walk}))

    async def some_owed() -> int:
        return (await GrantJob.get(id=view.row.id)).owed

    await until("the first page", some_owed, every_s=0.02)
    await services.grant_jobs.pause(view.row.id, CHECKER)
    await walking
    await services.grants.redrive()
    half = await GrantJob.get(id=view.row.id)
    assert half.status == "paused"
    assert 0 < half.owed == half.posted < 30
    assert len(await coupons_of(people)) == half.owed
    await work(services)
    assert (await GrantJob.get(id=view.row.id)).owed == half.owed
    await services.grant_jobs.resume(view.row.id, CHECKER)
    await work(services)
    assert await coupons_of(people) == dict.fromkeys(people, 1)
    with pytest.raises(WrongStatus):
        await services.grant_jobs.cancel(view.row.id, CHECKER)
    other = await ordered(services, people)
    await services.grant_jobs.cancel(other.row.id, MAKER)
    with pytest.raises(WrongStatus):
        await services.grant_jobs.approve(other.row.id, CHECKER)


async def test_a_running_job_that_lost_its_task_gets_one(services: Services) -> None:
    people = await enrol(3)
    view = await ordered(services, people)
    await services.grant_jobs.approve(view.row.id, CHECKER)
    await fetch("DELETE FROM job WHERE kind = $1", KIND)
    assert await services.grant_jobs.redrive() == 1
    assert await services.grant_jobs.redrive() == 0
    await work(services)
    assert await coupons_of(people) == dict.fromkeys(people, 1)


async def test_a_job_stops_by_itself_when_its_template_does(services: Services) -> None:
    people = await enrol(2)
    template = await live_template(services)
    view = await ordered(services, people, template=template)
    await services.grant_jobs.approve(view.row.id, CHECKER)
    await services.templates.pause(template, CHECKER)
    await work(services)
    stopped = (await services.grant_jobs.get(view.row.id)).row
    assert (stopped.status, stopped.why, stopped.owed) == ("paused", "template_paused", 0)
    await services.templates.end(template, CHECKER)
    await services.grant_jobs.resume(view.row.id, CHECKER)
    await work(services)
    over = (await services.grant_jobs.get(view.row.id)).row
    assert (over.status, over.why) == ("cancelled", "template_ended")
    with pytest.raises(TemplateNotLive):
        await services.grant_jobs.order(Order(template, over.list_id, 10, DOCUMENT), MAKER)


async def test_a_stock_smaller_than_the_list_gives_exactly_the_stock_and_says_why(services: Services) -> None:
    people = await enrol(40)
    view = await ordered(services, people, template=await live_template(services, stock=17))
    await services.grant_jobs.approve(view.row.id, CHECKER)
    await work(services)
    done = await services.grant_jobs.get(view.row.id)
    assert (done.row.status, done.row.posted, done.reasons) == ("finished", 17, {"sold_out": 23})
    assert len(await coupons_of(people)) == 17


async def test_two_workers_at_one_job_give_each_resident_one(services: Services) -> None:
    people = await enrol(300)
    view = await ordered(services, people, per_second=100)
    await services.grant_jobs.approve(view.row.id, CHECKER)
    for _ in range(50):
        await fetch("UPDATE job SET claimed_until = clock_timestamp() WHERE kind = $1 AND claim IS NOT NULL", KIND)
        turns = [run_due({KIND: services.grant_jobs.walk}) for _ in range(2)]
        await asyncio.gather(*turns, services.grants.redrive())
        await due_now()
        if (await GrantJob.get(id=view.row.id)).status == "finished":
            break
    await work(services)
    assert await coupons_of(people) == dict.fromkeys(people, 1)
    done = await GrantJob.get(id=view.row.id)
    assert (done.status, done.owed, done.posted) == ("finished", 300, 300)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"per_second": 0}, "per_second"),
        ({"document": " "}, "document"),
        ({"note": "a\nb"}, "note"),
        ({"list_id": None}, "list_id"),
        ({"segment_id": 1}, "list_id"),
    ],
)
async def test_an_order_that_cannot_be_is_named(services: Services, changes: dict[str, object], field: str) -> None:
    plain = {"template_id": 1, "list_id": 1, "per_second": 1, "document": DOCUMENT, "note": ""}
    with pytest.raises(InvalidField) as refused:
        await services.grant_jobs.order(Order(**{**plain, **changes}), MAKER)  # type: ignore[arg-type]
    assert refused.value.field == field


async def test_a_job_is_walked_in_time_after_time(services: Services) -> None:
    """The clock of a rate is the machine's; a list given twice is two orders."""
    people = await enrol(4)
    template = await live_template(services, limits=(Limit(2, "issue"),))
    chosen = await listed(services, people)
    for _ in range(2):
        view = await services.grant_jobs.order(Order(template, chosen, 2, DOCUMENT), MAKER)
        await services.grant_jobs.approve(view.row.id, CHECKER)
        await work(services)
    assert await coupons_of(people) == dict.fromkeys(people, 2)
    assert services.clock.now() - (await GrantJob.get(id=view.row.id)).created_at < timedelta(hours=1)
