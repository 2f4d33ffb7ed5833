"""Voucher codes: exactly as many as were wanted, nowhere in the clear, each a coupon once, exported by two people."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError

from server.incentives.codes.alphabet import code_of
from server.incentives.codes.batches import EXTERNAL, KIND, PAGE, PLATFORM, UPLOADED, BatchOrder, hash_of
from server.incentives.codes.errors import (
    NoExternalCode,
    NothingToExport,
    UploadReplaced,
    VoucherCodeMistyped,
    VoucherCodeNotUsable,
    VoucherExportClosed,
    VoucherFileEmpty,
    VoucherStockShort,
)
from server.incentives.codes.exchange import Exchanged, VoucherExchange
from server.incentives.codes.models import VoucherBatch, VoucherCode
from server.incentives.errors import CouponNotFound, SecondPersonRequired, WrongStatus
from server.kit.audit import AuditEntry
from server.kit.counts import WindowCounts
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField, RateLimited
from server.kit.jobs import Task, run_due
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
    live_template,
    owe,
    template_draft,
    work,
)
from tests.support.jobs import open_jobs
from tests.support.vouchers import from_file, made, ready, typed
from wallet import Refused
from wallet.audit import prove


@pytest_asyncio.fixture(scope="module")
async def services(engines: Engines, database: Database) -> AsyncIterator[Services]:
    async with open_jobs(
        engines, database, voucher_wrong_per_minute="1000", voucher_wrong_per_minute_address="1000"
    ) as opened:
        yield opened
    assert [one for one in await prove(database.worker) if one.broken] == []


async def exported(services: Services, export_id: int) -> str:
    pieces = await services.voucher_exports.open(export_id, MAKER)
    return b"".join([piece async for piece in pieces]).decode()


async def test_a_batch_is_made_by_the_job_exactly_as_large_as_it_was_ordered(services: Services) -> None:
    row = await made(services, PAGE + 17)
    assert (row.status, row.made) == ("made", PAGE + 17)
    assert await VoucherCode.filter(batch_id=row.id).count() == PAGE + 17
    with pytest.raises(SecondPersonRequired):
        await services.voucher_batches.approve(row.id, MAKER)
    await services.voucher_batches.approve(row.id, CHECKER)
    actions = [
        one.action for one in await AuditEntry.filter(object_kind="voucher_batch", object_id=str(row.id)).order_by("id")
    ]
    assert actions == ["voucher_batch.ordered", "voucher_batch.made", "voucher_batch.approved"]


async def test_a_code_that_exists_already_is_made_anew_elsewhere(services: Services) -> None:
    """The hash of one of its codes is taken: the batch has its number all the same, one place further."""
    template = await live_template(services)
    order = BatchOrder(template, PLATFORM, DOCUMENT, 5, "")
    view = await services.voucher_batches.order(order, MAKER)
    taken = code_of(services.voucher_batches.secret_of(view.row), "", 3)
    other = await from_file(services, f"{taken}\n")
    assert hash_of(services.voucher_batches._index, taken) == bytes(
        (await VoucherCode.get(batch_id=other.id)).code_hash
    )
    await work(services)
    row = (await services.voucher_batches.get(view.row.id)).row
    assert (row.made, row.next_ordinal) == (5, 7)
    ordinals = [code.ordinal for code in await VoucherCode.filter(batch_id=row.id).order_by("ordinal")]
    assert ordinals == [1, 2, 4, 5, 6]


async def test_a_job_that_lost_its_claim_writes_nothing_and_the_next_goes_on(services: Services) -> None:
    template = await live_template(services)
    view = await services.voucher_batches.order(BatchOrder(template, PLATFORM, DOCUMENT, 50, ""), MAKER)
    dead = Task(0, KIND, str(view.row.id), "", {"batch_id": str(view.row.id)}, {}, 1, "of a dead process")
    with pytest.raises(Exception, match=KIND):
        await services.voucher_batches.make(dead)
    assert await VoucherCode.filter(batch_id=view.row.id).count() == 0
    await work(services)
    assert await VoucherCode.filter(batch_id=view.row.id).count() == 50


async def test_no_table_gives_a_code_away(services: Services, database: Database) -> None:
    _, codes = await ready(services, 3)
    await from_file(services, "THIRDPARTY1\n", mode=EXTERNAL)
    await from_file(services, "LEAFLET0001\n")
    async with connected(database.superuser) as superuser:
        for table in ("voucher_batch", "voucher_code", "coupon_grant", "audit_entry", "job"):
            text = " ".join(str(dict(row)) for row in await superuser.fetch(f"SELECT * FROM {table}"))
            for secret in (*codes, *(code.replace("-", "") for code in codes), "THIRDPARTY1", "LEAFLET0001"):
                assert secret not in text
                assert secret.encode().hex() not in text
                assert base64.b64encode(secret.encode()).decode() not in text


async def test_codes_that_the_money_does_not_reach_for_are_refused_though_coupons_are_in_stock(
    services: Services,
) -> None:
    changes: dict[str, Any] = {"stock": 10, "claimable": False, "budget_fen": 1_999}
    planned = (await services.templates.create(template_draft(services, **changes), MAKER)).row.id
    for template in (planned, await live_template(services, **changes)):
        with pytest.raises(VoucherStockShort) as refused:
            await services.voucher_batches.order(BatchOrder(template, PLATFORM, DOCUMENT, 4), MAKER)
        assert "还可发放3张，少于本批次的4个兑换码" in refused.value.message
        await services.voucher_batches.order(BatchOrder(template, PLATFORM, DOCUMENT, 3), MAKER)


async def test_a_code_becomes_a_coupon_and_the_same_person_hears_of_the_same(services: Services) -> None:
    row, (code, *_) = await ready(services, 2)
    first, second = await enrol(2)
    done = await typed(services, first, code.lower().replace("-", " "))
    assert done.coupon is not None
    assert (done.replayed, done.coupon.row.state, done.coupon.row.id) == (False, "issued", done.coupon_id)
    again = await typed(services, first, code)
    assert (again.coupon_id, again.replayed) == (done.coupon_id, True)
    with pytest.raises(VoucherCodeNotUsable):
        await typed(services, second, code)
    assert await coupons_of([first, second]) == {first: 1}
    assert (await services.voucher_batches.get(row.id)).used == 1


async def test_one_code_typed_by_many_at_once_is_one_coupon(services: Services) -> None:
    _, (code,) = await ready(services, 1)
    people = await enrol(40)
    trying = asyncio.gather(
        *(services.voucher_exchange.exchange(one, code, "127.0.0.1") for one in people for _ in range(3)),
        return_exceptions=True,
    )
    while not trying.done():
        await services.grants.redrive()
        await asyncio.sleep(0.01)
    answers = await trying
    given = [one for one in answers if isinstance(one, Exchanged)]
    assert len({one.coupon_id for one in given}) == 1 and len(given) == 3
    assert {type(one) for one in answers if not isinstance(one, Exchanged)} == {VoucherCodeNotUsable}
    assert sum((await coupons_of(people)).values()) == 1


async def test_unknown_used_stopped_and_not_yet_approved_codes_have_one_answer(services: Services) -> None:
    waiting = await made(services, 1)
    not_yet = code_of(services.voucher_batches.secret_of(waiting), waiting.prefix, 1)
    row, (used, stopped) = await ready(services, 2)
    one, other = await enrol(2)
    await typed(services, one, used)
    await services.voucher_batches.stop(row.id, CHECKER)
    external = await from_file(services, "NOTTYPED1234\n", mode=EXTERNAL)
    assert external.made == 1
    for code in (not_yet, used, stopped, "NOTTYPED1234", code_of(b"x" * 32, "QX", 9), "兑换码", "-", "A" * 60):
        with pytest.raises(VoucherCodeNotUsable):
            await typed(services, other, code)
    with pytest.raises(VoucherCodeMistyped):
        await typed(services, other, used[:-1] + ("2" if used[-1] != "2" else "3"))
    assert await coupons_of([other]) == {}


async def test_a_coupon_that_cannot_be_given_leaves_the_code_free_for_others(services: Services) -> None:
    template = await live_template(services, claimable=False)
    row, codes = await ready(services, 2, template=template)
    greedy, other = await enrol(2)
    await typed(services, greedy, codes[0])
    with pytest.raises(Refused, match="limit_reached"):
        await typed(services, greedy, codes[1])
    assert (await services.voucher_batches.get(row.id)).used == 1
    done = await typed(services, other, codes[1])
    assert done.coupon is not None
    assert await coupons_of([greedy, other]) == {greedy: 1, other: 1}


async def test_a_code_of_a_paused_template_is_not_taken(services: Services) -> None:
    template = await live_template(services, claimable=False)
    row, (code,) = await ready(services, 1, template=template)
    (resident,) = await enrol(1)
    await services.templates.pause(template, CHECKER)
    with pytest.raises(Refused, match="terms_closed"):
        await typed(services, resident, code)
    assert (await services.voucher_batches.get(row.id)).used == 0
    await services.templates.resume(template, CHECKER)
    assert (await typed(services, resident, code)).coupon is not None


async def test_without_the_worker_the_coupon_is_under_way_and_comes(services: Services) -> None:
    _, (code,) = await ready(services, 1)
    (resident,) = await enrol(1)
    done = await services.voucher_exchange.exchange(resident, code, "127.0.0.1")
    assert done.coupon is None
    await services.grants.redrive()
    again = await services.voucher_exchange.exchange(resident, code, "127.0.0.1")
    assert again.coupon is not None
    assert again.coupon.row.id == done.coupon_id


async def test_wrong_codes_are_counted_by_resident_and_by_address(services: Services) -> None:
    usual = services.voucher_exchange
    counted = VoucherExchange(
        desk=services.grants, coupons=services.coupons, clock=services.clock, envelope=usual._envelope,
        index=usual._index, counts=WindowCounts(services.cache, unix=lambda: 1.8e9), wrong_per_resident=3,
        wrong_per_address=7,
    )  # fmt: skip
    _, (code,) = await ready(services, 1)
    people = await enrol(4)

    async def wrong(who: int, address: str) -> type[Exception]:
        try:
            await counted.exchange(who, "ZZZZZZZZZZ", address)
        except (VoucherCodeNotUsable, RateLimited) as refused:
            return type(refused)
        raise AssertionError

    assert [await wrong(people[0], "10.0.0.1") for _ in range(4)] == [VoucherCodeNotUsable] * 3 + [RateLimited]
    with pytest.raises(RateLimited):
        await counted.exchange(people[0], code, "10.0.0.9")
    seen = [await wrong(one, "10.0.0.1") for one in people[1:3] for _ in range(2)]
    assert seen == [VoucherCodeNotUsable] * 4
    assert await wrong(people[3], "10.0.0.1") is RateLimited
    assert (await counted.exchange(people[3], code, "10.0.0.2")).coupon_id  # from elsewhere


async def test_a_file_s_codes_are_taken_once_and_the_others_told_by_line(services: Services) -> None:
    template = await live_template(services)
    await from_file(services, "ELSEWHERE01\n", template=template)
    view = await services.voucher_batches.order(BatchOrder(template, UPLOADED, DOCUMENT), MAKER)
    text = "兑换码\nLEAF-LET-0007\nleaflet0007\nshort\nELSEWHERE01\nLEAFLET0008\n"
    taken = await services.voucher_batches.take(view.row.id, text.encode("gb18030"), MAKER)
    assert (taken.row.made, taken.row.wanted, taken.row.status) == (2, 2, "made")
    assert sorted(taken.lines) == [(3, "repeated"), (4, "unreadable"), (5, "repeated")]
    assert (taken.repeated, taken.unreadable) == (2, 1)
    with pytest.raises(WrongStatus):
        await services.voucher_batches.take(view.row.id, b"MORECODES01\n", MAKER)
    await services.voucher_batches.approve(view.row.id, CHECKER)
    (resident,) = await enrol(1)
    assert (await typed(services, resident, "leaflet 0008")).coupon is not None


async def test_an_upload_that_was_broken_off_is_begun_anew(services: Services) -> None:
    template = await live_template(services)
    view = await services.voucher_batches.order(BatchOrder(template, UPLOADED, DOCUMENT), MAKER)
    with pytest.raises(VoucherFileEmpty):
        await services.voucher_batches.take(view.row.id, b"short\n", MAKER)
    await fetch(
        "INSERT INTO voucher_code (batch_id, ordinal, code_hash, tries) VALUES ($1, 1, sha256('left'), 0)", view.row.id
    )
    taken = await services.voucher_batches.take(view.row.id, b"ANEWCODE001\nANEWCODE002\n", THIRD)
    assert (taken.row.made, taken.lines) == (2, [])
    assert await VoucherCode.filter(batch_id=view.row.id).count() == 2
    with pytest.raises(SecondPersonRequired):  # whoever uploaded is the maker
        await services.voucher_batches.approve(view.row.id, THIRD)


async def test_of_two_uploads_at_once_one_is_taken(services: Services) -> None:
    template = await live_template(services)
    view = await services.voucher_batches.order(BatchOrder(template, UPLOADED, DOCUMENT), MAKER)
    files = [("".join(f"{letter * 8}{n:05d}\n" for n in range(PAGE + 5))).encode() for letter in "AB"]
    ends = await asyncio.gather(
        *(services.voucher_batches.take(view.row.id, one, MAKER) for one in files), return_exceptions=True
    )
    lost = [one for one in ends if isinstance(one, BaseException)]
    assert len(lost) == 1 and isinstance(lost[0], UploadReplaced | WrongStatus), ends
    row = (await services.voucher_batches.get(view.row.id)).row
    assert (row.status, row.made) == ("made", PAGE + 5)
    assert await VoucherCode.filter(batch_id=row.id).count() == PAGE + 5


async def test_each_coupon_shows_one_code_of_the_third_party_and_always_the_same(services: Services) -> None:
    template = await live_template(services)
    await from_file(services, "券码,备注\nhttps://x.example/A?1,a\n第二码,b\n", mode=EXTERNAL, template=template)
    people = await enrol(3)
    coupons = []
    for one in people:
        await owe(services, one, template, f"external {one}")
    await services.grants.redrive()
    for one in people:
        (view,) = await services.vault.read.coupons(one, state=None, before=None, limit=5)
        coupons.append(view.id)
    looks = await asyncio.gather(
        *(services.voucher_exchange.external_code(people[0], coupons[0]) for _ in range(10)),
        *(services.voucher_exchange.external_code(people[1], coupons[1]) for _ in range(10)),
    )
    assert {*looks} == {"https://x.example/A?1", "第二码"}
    assert len({*looks[:10]}) == len({*looks[10:]}) == 1
    with pytest.raises(NoExternalCode):
        await services.voucher_exchange.external_code(people[2], coupons[2])
    with pytest.raises(CouponNotFound):
        await services.voucher_exchange.external_code(people[2], coupons[0])


async def test_codes_leave_the_house_by_two_people_and_once(services: Services) -> None:
    row, codes = await ready(services, 7)
    export = await services.voucher_exports.request(row.id, "印刷", MAKER)
    with pytest.raises(VoucherExportClosed):
        await services.voucher_exports.open(export.id, MAKER)
    with pytest.raises(SecondPersonRequired):
        await services.voucher_exports.approve(export.id, MAKER)
    await services.voucher_exports.approve(export.id, CHECKER)
    with pytest.raises(VoucherExportClosed):
        await services.voucher_exports.open(export.id, CHECKER)
    text = await exported(services, export.id)
    assert text.splitlines() == ["ordinal,code", *(f"{n},{code}" for n, code in enumerate(codes, 1))]
    with pytest.raises(VoucherExportClosed):
        await services.voucher_exports.open(export.id, MAKER)
    trail = await AuditEntry.filter(object_kind="voucher_export", object_id=str(export.id)).order_by("id")
    assert [(one.action, one.actor_id) for one in trail] == [
        ("voucher_export.requested", "1"), ("voucher_export.approved", "2"), ("voucher_export.opened", "1")
    ]  # fmt: skip
    uploaded = await from_file(services, "LEAFLET0999\n")
    with pytest.raises(NothingToExport):
        await services.voucher_exports.request(uploaded.id, "印刷", MAKER)


async def test_an_approval_lasts_a_day(services: Services) -> None:
    row, _ = await ready(services, 1)
    export = await services.voucher_exports.request(row.id, "印刷", MAKER)
    await services.voucher_exports.approve(export.id, CHECKER)
    await fetch("UPDATE voucher_export SET approved_at = approved_at - interval '24 hours' WHERE id = $1", export.id)
    with pytest.raises(VoucherExportClosed):
        await services.voucher_exports.open(export.id, MAKER)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE voucher_batch SET status = 'ready', approved_by = created_by, approved_at = vault.now() WHERE id = $1",
        "UPDATE voucher_batch SET prefix = 'ZZ' WHERE id = $1",
        "UPDATE voucher_batch SET wanted = wanted + 1, made = made + 1 WHERE id = $1",
        "UPDATE voucher_code SET code_hash = sha256('mine') WHERE batch_id = $1",
        "INSERT INTO voucher_export (batch_id, reason, requested_by, requested_at, approved_by, approved_at)"
        " VALUES ($1, 'x', 1, vault.now(), 1, vault.now())",
        "INSERT INTO voucher_code (batch_id, ordinal, code_hash, tries)"
        " SELECT $1, 99, code_hash, 0 FROM voucher_code LIMIT 1",
    ],
)
async def test_the_database_keeps_batches_codes_and_exports_as_they_are(services: Services, change: str) -> None:
    row = await made(services, 1)
    with pytest.raises(IntegrityError):
        async with transaction() as tx:
            await tx.execute_query(change, [row.id])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"count": 0}, "count"), ({"count": 1_000_001}, "count"), ({"prefix": "O0"}, "prefix"),
        ({"mode": "paper"}, "mode"),
        ({"document": ""}, "document"), ({"mode": "uploaded"}, "count"), ({"mode": "external", "count": 0}, "prefix"),
    ],
)  # fmt: skip
async def test_an_order_that_cannot_be_is_named(services: Services, changes: dict[str, Any], field: str) -> None:
    plain = {"template_id": 1, "mode": "platform", "document": DOCUMENT, "count": 5, "prefix": "QX"}
    with pytest.raises(InvalidField) as refused:
        await services.voucher_batches.order(BatchOrder(**{**plain, **changes}), MAKER)
    assert refused.value.field == field


async def test_a_stopped_batch_is_made_no_further(services: Services) -> None:
    template = await live_template(services)
    view = await services.voucher_batches.order(BatchOrder(template, PLATFORM, DOCUMENT, 10, ""), MAKER)
    await services.voucher_batches.stop(view.row.id, CHECKER)
    assert await run_due({KIND: services.voucher_batches.make}) == 1
    assert (await VoucherBatch.get(id=view.row.id)).made == 0
    with pytest.raises(WrongStatus):
        await services.voucher_batches.approve(view.row.id, CHECKER)
