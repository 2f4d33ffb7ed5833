"""Three more chapters of the walk: a coupon for a group, a voucher code, and a lottery that anybody draws again.

The lottery is published first and drawn last, so that nobody waits for its closing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from server.incentives.lottery.verify import Verdict, verify
from server.kit.clock import Clock
from server.sandbox.city import City, id_number
from server.sandbox.narrator import Narrator, WalkFailed, expect
from server.sandbox.phone import Refusal, ResidentPhone, client_id
from server.sandbox.wechat.control import StandInControl
from server.sandbox.year.console import Office, until
from server.sandbox.year.offers import csv_of, give, live

TITLE = "澄信体验券"
DOCUMENT = "澄信办〔2026〕30号"
#: As many as a group needs, lest its size be hidden and nothing be given to it.
GUESTS = 10


@dataclass
class Group:
    """Who the chapters are about, and the coupon that they are given in three ways."""

    office: Office
    guests: list[ResidentPhone]
    template_id: str
    clock: Clock

    async def coupons(self, phone: ResidentPhone) -> int:
        """How many of these coupons a resident has."""
        listed = (await phone.call("GET", "/coupons"))["items"]
        return sum(one["benefit"]["title"] == TITLE for one in listed)


async def tell_chapters(
    say: Narrator, http: httpx.AsyncClient, control: StandInControl, city: City, folder: Path
) -> None:
    """Tells all three. Raises `WalkFailed`, `Refusal` or `NotInTime`."""
    clock = Clock()
    office = Office(http, clock)
    template = await say.tell("两人建立体验券 · made by one, approved by another", _template(office, clock))
    began = time.perf_counter()
    enrolled = [_guest(http, control, secrets.choice(city.residents).name) for _ in range(GUESTS)]
    guests = list(await say.tell(f"{GUESTS} 位居民实名 · residents", asyncio.gather(*enrolled)))
    group = Group(office, guests, template, clock)
    # As long as it takes people to come, on whatever machine.
    open_s = 1.0 + 2 * (time.perf_counter() - began)
    lottery = await say.tell("发布抽奖与承诺值 · lottery, committed to", _published(group, open_s))
    say.note(f"承诺值 {lottery['commitment'][:32]}…")
    entering = asyncio.gather(*(_enter(phone, lottery["id"]) for phone in guests))
    codes = await say.tell("居民报名, 只公开匿名编码 · entries", entering)
    say.note("  ".join(codes[:3]) + " …")
    await _segment(say, group)
    await _voucher(say, group)
    await _draw(say, group, lottery, folder / "lottery.jsonl")


async def _template(office: Office, clock: Clock) -> str:
    """The coupon that is only given; it stands there since the first walk."""
    listed = await office.call("editor", "GET", f"/coupon-templates?status=active&text={TITLE}")
    if listed["items"]:
        return str(listed["items"][0]["id"])
    now = clock.now()
    body = {
        "title": TITLE, "document": DOCUMENT, "kind": "amount_off", "stock": 100_000, "face_value_fen": 500,
        "starts_at": (now - timedelta(hours=1)).isoformat(), "ends_at": (now + timedelta(days=365)).isoformat(),
        "sponsor_bp": 10_000, "valid_days": 30, "claimable": False, "limits": [],
    }  # fmt: skip
    return await live(office, "/coupon-templates", body)


async def _guest(http: httpx.AsyncClient, control: StandInControl, name: str) -> ResidentPhone:
    number = id_number(date(1950, 1, 1) + timedelta(days=secrets.randbelow(20_000)), 1 + secrets.randbelow(999))
    await control.register_people([(name, number)])
    phone = ResidentPhone(http)
    await phone.log_in(await control.login_code(f"oGuest{secrets.token_hex(8)}"))
    await phone.bind(name, number)
    return phone


async def _published(group: Group, open_s: float) -> dict[str, Any]:
    now = datetime.now(UTC)
    over = (now + timedelta(seconds=open_s)).isoformat()
    prizes = [{"rank": 1, "name": TITLE, "template_id": group.template_id, "count": 1}]
    body = {
        "title": f"体验抽奖 {now:%H:%M:%S}", "document": DOCUMENT, "opens_at": (now - timedelta(minutes=1)).isoformat(),
        "closes_at": over, "draw_at": over, "prizes": prizes,
    }  # fmt: skip
    made = await group.office.call("editor", "POST", "/lotteries", body)
    await group.office.call("editor", "POST", f"/lotteries/{made['id']}/submit")
    published: dict[str, Any] = await group.office.call("approver", "POST", f"/lotteries/{made['id']}/publish")
    return published


async def _enter(phone: ResidentPhone, lottery_id: str) -> str:
    key = {"Idempotency-Key": str(client_id(phone.unix()))}
    return str((await phone.call("POST", f"/lotteries/{lottery_id}/entries", None, **key))["code"])


async def _segment(say: Narrator, group: Group) -> None:
    today = group.clock.today()
    name = f"{today} 加入的居民"
    found = (await group.office.call("editor", "GET", f"/segments?search={name}"))["items"]
    if not found:
        body = {"name": name, "definition": {"enrolled_from": str(today), "enrolled_until": str(today)}}
        found = [await group.office.call("editor", "POST", "/segments", body)]
    path = f"/segments/{found[0]['id']}/preview"
    seen = await say.tell("人群规模预览 · segment, small cells hidden", group.office.call("editor", "POST", path))
    size = seen["size"]
    say.note(f"{found[0]['text']}: " + (f"约 {size} 人" if size else f"少于 {seen['floor']} 人, 不显示"))
    before = [await group.coupons(phone) for phone in group.guests]
    order = {"template_id": group.template_id, "segment_id": found[0]["id"]}
    given = await say.tell("按人群发放, 每人一张 · grant job", give(group.office, order, 31))
    expect([await group.coupons(phone) for phone in group.guests], [one + 1 for one in before], "coupons of the group")
    say.note(f"发放 {given} 张")


async def _voucher(say: Narrator, group: Group) -> None:
    code = f"TIYAN{secrets.randbelow(10**8):08d}"
    await say.tell("上传纸质兑换码, 两人批准 · voucher codes", _upload(group, code))
    first, second, *_ = group.guests
    got = await say.tell("输入兑换码换券 · exchange", first.call("POST", "/coupons/codes", {"code": code.lower()}))

    async def mine() -> int:
        return await group.coupons(first)

    await until("the coupon of the code", mine, lambda coupons: coupons == 2)
    again = await first.call("POST", "/coupons/codes", {"code": code})
    expect(again["id"], got["id"], "the coupon of the same code by the same resident")
    await say.tell("他人再输入同一码 · the same code by somebody else", _refused(second, code))
    say.note(f"{code}: 一码一券, 他人再用被拒")


async def _upload(group: Group, code: str) -> None:
    office = group.office
    order = {"template_id": group.template_id, "mode": "uploaded", "document": DOCUMENT}
    batch = await office.call("editor", "POST", "/voucher-batches", order)
    await office.upload("editor", f"/voucher-batches/{batch['id']}/codes", csv_of([["code"], [code]]))
    await office.call("approver", "POST", f"/voucher-batches/{batch['id']}/approve")


async def _refused(phone: ResidentPhone, code: str) -> None:
    try:
        await phone.call("POST", "/coupons/codes", {"code": code})
    except Refusal as refusal:
        expect(refusal.code, "voucher_code_not_usable", "a code that was used")
    else:
        raise WalkFailed("a used code was accepted from somebody else")


async def _draw(say: Narrator, group: Group, lottery: dict[str, Any], file: Path) -> None:
    path = f"/lotteries/{lottery['id']}"

    async def drawn() -> dict[str, Any]:
        shown: dict[str, Any] = await group.office.call("editor", "GET", path)
        return shown

    waiting = until("the draw", drawn, lambda seen: seen["status"] == "drawn" and seen["owed_at"])
    await say.tell("到时开奖, 公布密钥 · draw", waiting)
    content = await group.office.public_file(f"{path}/file")
    checking = asyncio.to_thread(_verified, file, content, lottery["commitment"])
    verdict = await say.tell("凭公示文件重新开奖 · verify-draw", checking)
    expect((verdict.holds, verdict.listed.entries, verdict.winners), (True, GUESTS, 1), "the draw, repeated")
    results = [(await phone.call("GET", f"{path}/entry"))["result"] for phone in group.guests]
    expect(sorted(results), ["not_won"] * (GUESTS - 1) + ["won"], "what the residents are told")
    say.note(f"{len(verdict.checks)} 项全部成立, 任何人可再验: chengxin verify-draw {file}")


def _verified(file: Path, content: bytes, commitment: str) -> Verdict:
    file.write_bytes(content)
    return verify(file, commitment=commitment)
