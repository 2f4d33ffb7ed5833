"""Notices on a real database, sent by the real client to the stand-in: once each, and the inbox always."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from server.kit.db import fetch
from server.notices.models import Notice
from server.notices.sending import NoticeSender
from server.notices.wording import COUPON, POINTS
from server.people.sessions import OPENID_PURPOSE
from server.sandbox.engines import Engines
from server.sandbox.wechat import SANDBOX_TEMPLATES
from server.sandbox.wechat.control import StandInControl
from server.services import Services
from tests.support.databases import Database
from tests.support.jobs import open_jobs
from tests.support.ledger import Ledger, open_ledger

POINTS_TEMPLATE, COUPON_TEMPLATE = SANDBOX_TEMPLATES
SEND = "/cgi-bin/message/subscribe/send"
#: The lots of these tests end on 30 November 2027.
LAST_DAY = datetime(2027, 11, 30, 4, tzinfo=UTC)


@dataclass
class Office:
    """The notices room of one worker, a ledger whose clock moves, and people with phones."""

    ledger: Ledger
    services: Services
    wechat: StandInControl

    async def days_before(self, days: int) -> None:
        """It is `days` before the lots' last day."""
        await self.ledger.set_clock(LAST_DAY - timedelta(days=days))
        await self.services.vault.ensure_partitions(3)
        self.services.clock.follow(await self.services.vault.now())

    async def resident(
        self, *, points: int = 50, months: int = 1, grants: int = 0, at_wechat: int | None = None
    ) -> int:
        """Somebody with a phone, points and as many accepts; `at_wechat` when WeChat counts otherwise."""
        resident = await self.ledger.resident()
        if points:
            await self.ledger.earn(resident, await self.ledger.campaign(points=points, months=months))
        await self.phone(resident, grants=grants, at_wechat=at_wechat)
        return resident

    async def phone(self, resident: int, *, grants: int = 0, at_wechat: int | None = None) -> int:
        """One more phone of a resident; its identity."""
        openid, now = f"o-{resident}-{secrets.token_hex(4)}", self.ledger.now()
        await fetch(
            "INSERT INTO resident (id, id_number_hmac, id_number_sealed, name_sealed, bound_at)"
            " VALUES ($1, $2, $3, $3, $4) ON CONFLICT (id) DO NOTHING RETURNING id",
            resident, secrets.token_bytes(32), secrets.token_bytes(64), now,
        )  # fmt: skip
        sealed = self.services.sessions._envelope.seal(openid, purpose=OPENID_PURPOSE)
        rows = await fetch(
            "INSERT INTO identity (provider, subject_hmac, subject_sealed, resident_id, created_at, last_login_at,"
            " bound_at) VALUES ('wechat', $1, $2, $3, $4, $4, $4) RETURNING id",
            secrets.token_bytes(32), sealed, resident, now,
        )  # fmt: skip
        identity: int = rows[0]["id"]
        for _ in range(grants):
            await self.services.notices.grants.note(identity, {POINTS_TEMPLATE: "accept"})
        await self.wechat.subscribe(openid, POINTS_TEMPLATE, count=grants if at_wechat is None else at_wechat)
        return identity

    async def write(self) -> None:
        await self.services.notices.writer.run()

    async def send(self) -> int:
        return await self.services.notices.sender.step()

    async def told(self, resident: int) -> list[tuple[str, int, str]]:
        """(kind, lead, push) of a resident's notices, oldest first."""
        rows = await Notice.filter(resident_id=resident).order_by("id")
        return [(row.kind, row.lead_days, row.push) for row in rows]

    async def left(self, identity: int) -> int:
        grants = await self.services.notices.grants.left(identity)
        return {one.template_id: one.left for one in grants}[POINTS_TEMPLATE]

    def another_process(self) -> NoticeSender:
        """A sender that has seen nothing yet."""
        ours = self.services.notices.sender
        return NoticeSender(
            clock=self.services.clock, wechat=ours._wechat, envelope=ours._envelope, templates=ours._templates
        )


@pytest_asyncio.fixture
async def office(engines: Engines, fresh_database: Database, wechat_sim: StandInControl) -> AsyncIterator[Office]:
    async with (
        open_ledger(fresh_database) as ledger,
        open_jobs(engines, fresh_database, wechat_base=wechat_sim.base_url) as services,
    ):
        made = Office(ledger, services, wechat_sim)
        await made.days_before(35)
        yield made


async def identity_of(resident: int) -> int:
    rows = await fetch("SELECT id FROM identity WHERE resident_id = $1 ORDER BY id LIMIT 1", resident)
    return int(rows[0]["id"])


async def test_a_lot_is_told_thirty_and_seven_days_ahead_and_once_each(office: Office) -> None:
    resident = await office.resident(points=50)
    for days, notices in ((31, 0), (30, 1), (29, 1), (8, 1), (7, 2), (1, 2), (0, 2)):
        await office.days_before(days)
        for _ in range(3):
            await office.write()
            await office.services.notices.writer.run()
            await again()
        assert len(await office.told(resident)) == notices, f"{days} days before"
    page = await office.services.notices.inbox.page(resident, before=None, limit=10)
    assert [row.lead_days for row in page.rows] == [7, 30]
    assert page.unread == 2
    first = page.rows[-1]
    assert (first.title, first.points, first.last_day) == ("积分即将到期", 50, LAST_DAY.date())
    assert "50 积分" in first.body
    assert "2027年11月30日" in first.body
    assert "还有 30 天" in first.body


async def again() -> None:
    """Today's passes are looked at as if they had never run."""
    await fetch("DELETE FROM daily_pass RETURNING name")


async def test_a_job_that_did_not_run_for_weeks_tells_the_nearest_lead_only(office: Office) -> None:
    resident = await office.resident()
    await office.days_before(5)
    await office.write()
    assert await office.told(resident) == [(POINTS, 7, "none")]


async def test_two_writers_at_once_write_once(office: Office) -> None:
    residents = [await office.resident() for _ in range(5)]
    await office.days_before(30)
    await asyncio.gather(office.write(), office.write())
    assert [len(await office.told(one)) for one in residents] == [1] * 5


async def test_a_pass_in_pages_reaches_everybody(office: Office) -> None:
    residents = [await office.resident() for _ in range(13)]
    office.services.notices.writer._page = 5
    await office.days_before(7)
    steps = 1
    while await office.services.notices.writer.step():
        steps += 1
    assert steps == 3
    assert [len(await office.told(one)) for one in residents] == [1] * 13


async def test_somebody_without_a_grant_is_told_in_the_inbox_only(office: Office) -> None:
    resident = await office.resident()
    await office.days_before(30)
    await office.write()
    assert await office.send() == 0
    assert await office.told(resident) == [(POINTS, 30, "none")]
    assert await office.wechat.calls(SEND) == 0


async def test_a_grant_is_one_message_and_the_next_notice_has_none(office: Office) -> None:
    resident = await office.resident(grants=1)
    identity = await identity_of(resident)
    await office.days_before(30)
    await office.write()
    assert await office.send() == 1
    assert await office.send() == 0
    assert await office.left(identity) == 0
    (message,) = await office.wechat.messages()
    assert message["template_id"] == POINTS_TEMPLATE
    values = {key: one["value"] for key, one in message["data"].items()}
    assert (values["thing1"], values["number2"], values["date3"]) == ("积分即将到期", "50", "2027年11月30日")
    await office.days_before(7)
    await office.write()
    assert await office.send() == 0
    assert await office.told(resident) == [(POINTS, 30, "sent"), (POINTS, 7, "none")]


async def test_two_senders_at_once_send_every_notice_once(office: Office) -> None:
    residents = [await office.resident(grants=2) for _ in range(30)]
    await office.days_before(30)
    await office.write()
    senders = [office.another_process() for _ in range(3)]

    async def all_of(sender: NoticeSender) -> int:
        sent = 0
        while (more := await sender.step()) > 0:
            sent += more
        return sent

    assert sum(await asyncio.gather(*(all_of(one) for one in senders))) == 30
    assert len(await office.wechat.messages()) == 30
    assert [await office.left(await identity_of(one)) for one in residents] == [1] * 30


async def test_when_wechat_knows_of_no_accept_our_count_becomes_zero(office: Office) -> None:
    resident = await office.resident(grants=3, at_wechat=0)
    await office.days_before(30)
    await office.write()
    assert await office.send() == 0
    assert await office.left(await identity_of(resident)) == 0
    assert await office.told(resident) == [(POINTS, 30, "no_grant")]


async def test_the_phone_that_logged_in_last_gets_the_message(office: Office) -> None:
    resident = await office.resident(grants=1)
    newer = await office.phone(resident, grants=1)
    await fetch(
        "UPDATE identity SET last_login_at = last_login_at + interval '1 hour' WHERE id = $1 RETURNING id", newer
    )
    await office.days_before(30)
    await office.write()
    assert await office.send() == 1
    assert (await office.left(newer), await office.left(await identity_of(resident))) == (0, 1)


@pytest.mark.parametrize(
    ("fault", "push", "left"),
    [
        ({"errcode": 47003}, "refused", 1),
        ({"errcode": 40003}, "refused", 1),
        ({"errcode": -1}, "due", 1),
        ({"errcode": 45009}, "due", 1),
        ({"reset": True, "after": True}, "unknown", 0),
        ({"html502": True}, "unknown", 0),
    ],
)
async def test_a_grant_is_given_back_unless_the_message_may_have_gone_out(
    office: Office, fault: dict[str, Any], push: str, left: int
) -> None:
    resident = await office.resident(grants=1)
    await office.days_before(30)
    await office.write()
    await office.wechat.fault(SEND, **fault)
    assert await office.send() == 0
    assert await office.told(resident) == [(POINTS, 30, push)]
    assert await office.left(await identity_of(resident)) == left


async def test_what_was_certainly_not_sent_is_sent_later_and_once(office: Office) -> None:
    resident = await office.resident(grants=1)
    await office.days_before(30)
    await office.write()
    await office.wechat.fault(SEND, errcode=-1)
    assert await office.send() == 0
    sender = office.another_process()
    assert await sender.step() == 0, "not at once"
    await office.ledger.move_clock(minutes=2)
    office.services.clock.follow(await office.services.vault.now())
    assert await office.send() == 0, "this process gives WeChat a rest"
    assert await sender.step() == 1
    assert await office.told(resident) == [(POINTS, 30, "sent")]
    assert await office.left(await identity_of(resident)) == 0
    assert len(await office.wechat.messages()) == 1


async def test_a_message_of_a_process_that_died_is_never_sent_again(office: Office) -> None:
    resident = await office.resident(grants=2)
    await office.days_before(30)
    await office.write()
    sender = office.another_process()
    _, taken = await sender._take(office.services.clock.now())  # and the process is gone
    assert len(taken) == 1
    assert await office.send() == 0
    assert await office.told(resident) == [(POINTS, 30, "sending")]
    await office.ledger.move_clock(minutes=6)
    office.services.clock.follow(await office.services.vault.now())
    assert await office.send() == 0
    assert await office.told(resident) == [(POINTS, 30, "unknown")]
    assert await office.wechat.messages() == []
    assert await office.left(await identity_of(resident)) == 1, "its grant is used up"


async def test_wechat_down_blocks_neither_the_inbox_nor_the_expiry(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        office = Office(ledger, services, StandInControl("http://127.0.0.1:9"))
        await office.days_before(35)
        resident = await ledger.resident(points=0)
        await ledger.earn(resident, await ledger.campaign(points=50, months=1))
        for days in (30, 7):
            await office.days_before(days)
            await office.write()
            assert await office.send() == 0
        await office.days_before(-1)
        report = await services.expiry.run()
        assert (report.booked, report.points) == (1, 50)
        assert [lead for _, lead, _ in await office.told(resident)] == [30, 7]
        await office.wechat.aclose()


async def test_a_message_that_comes_too_late_is_not_sent(office: Office) -> None:
    resident = await office.resident(grants=1)
    await office.days_before(1)
    await office.write()
    await office.days_before(-1)
    assert await office.send() == 0
    assert await office.told(resident) == [(POINTS, 7, "late")]
    assert await office.left(await identity_of(resident)) == 1


async def test_those_whom_wechat_refuses_hold_up_nobody(office: Office) -> None:
    refused = [await office.resident(grants=1, at_wechat=0) for _ in range(25)]
    wanting = await office.resident(grants=1)
    await office.days_before(30)
    await office.write()
    assert await office.send() == 1
    assert await office.told(wanting) == [(POINTS, 30, "sent")]
    assert {push for one in refused for _, _, push in await office.told(one)} == {"no_grant"}


async def test_nobody_is_woken_at_night(office: Office) -> None:
    await office.resident(grants=1)
    await office.days_before(30)
    await office.write()
    ours = office.services.notices.sender
    by_day = NoticeSender(
        clock=office.services.clock, wechat=ours._wechat, envelope=ours._envelope, templates=ours._templates,
        hours=(9, 20),
    )  # fmt: skip
    await office.ledger.set_clock(datetime(2027, 10, 31, 12, 30, tzinfo=UTC))  # 20:30 in the city
    office.services.clock.follow(await office.services.vault.now())
    assert await by_day.step() == 0
    await office.ledger.set_clock(datetime(2027, 11, 1, 1, 1, tzinfo=UTC))  # 9:01
    office.services.clock.follow(await office.services.vault.now())
    assert await by_day.step() == 1


async def test_a_coupon_is_told_seven_days_ahead_unless_it_lives_no_longer(office: Office) -> None:
    await office.days_before(30)
    resident = await office.resident(points=0)
    long = await office.ledger.coupon(resident, await office.ledger.template(valid_days=30))
    short = await office.ledger.coupon(resident, await office.ledger.template(valid_days=6))
    row = await office.ledger.coupon_row(resident, long)
    for day, told in ((8, []), (7, [long]), (6, [long])):
        left = datetime.combine(row["expires_on"], LAST_DAY.timetz()) - timedelta(days=day)
        await office.ledger.set_clock(left)
        office.services.clock.follow(await office.services.vault.now())
        await office.write()
        rows = await Notice.filter(resident_id=resident, kind=COUPON)
        assert [one.subject for one in rows] == [str(one) for one in told], f"{day} days before"
    assert str(short) not in {one.subject for one in rows}
    assert "优惠券" in rows[0].body


async def test_a_notice_stays_as_it_was_told(office: Office) -> None:
    resident = await office.resident(grants=1)
    await office.days_before(30)
    await office.write()
    for change in ("points = 1", "body = 'x'", "resident_id = 1"):
        with pytest.raises(Exception, match="cannot be changed"):
            await fetch(f"UPDATE notice SET {change} WHERE resident_id = $1 RETURNING id", resident)
    assert await office.send() == 1
    with pytest.raises(Exception, match="cannot be changed"):
        await fetch("UPDATE notice SET push = 'due' WHERE resident_id = $1 RETURNING id", resident)


async def test_old_notices_are_deleted_and_not_written_again(office: Office) -> None:
    resident = await office.resident()
    await office.days_before(30)
    await office.write()
    writer = office.services.notices.writer
    assert await writer.purge(10) == 0
    await office.days_before(-380)
    assert await writer.purge(10) == 1
    await office.write()
    assert await office.told(resident) == []
