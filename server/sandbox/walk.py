"""The narrated walk: one resident, one coupon, one counter, then three more ways to a coupon, over real HTTP, with
every step timed."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from server.sandbox.chapters import tell_chapters
from server.sandbox.city import City, id_number
from server.sandbox.narrator import Narrator, WalkFailed, expect
from server.sandbox.phone import CounterPhone, Refusal, ResidentPhone, read_picture
from server.sandbox.wechat.control import StandInControl
from wallet.audit import prove

TEMPLATE_TITLE = "老街面馆十元券"
ORDER_FEN = 2_680


async def walk(
    *,
    base_url: str,
    wechat_base: str,
    worker_dsn: str,
    city: City,
    store: tuple[str, str],
    console: Console,
    folder: Path,
) -> None:
    """Login → earn → claim → show → scan → redeem → second scan refused → statement → segment, voucher code, lottery →
    check-ledger. `store`: (store id, cashier's openid). Raises `WalkFailed`, `Refusal` or `NotInTime`."""
    say = Narrator(console)
    control = StandInControl(wechat_base)
    limits = httpx.Limits(max_connections=8)
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=40, limits=limits) as http:
        try:
            resident, counter = ResidentPhone(http), CounterPhone(http)
            coupon = await _resident_gets_coupon(say, control, resident, city)
            await _counter_redeems(say, control, resident, counter, coupon, store, folder)
            page = await say.tell("居民查看明细 · statement", resident.call("GET", "/wallet/entries"))
            for entry in page["items"]:
                say.note(f"{entry['seq']:>3}  {entry['title']}  {entry['points']:+d} → {entry['points_after']}")
            say.chapter("按人群发放、兑换码、抽奖 · segment, voucher code, lottery")
            await tell_chapters(say, http, control, city, folder)
            findings = await say.tell("账本核对 · check-ledger", prove(worker_dsn))
            expect([finding.check for finding in findings if finding.broken], [], "broken checks")
            say.note(f"{len(findings)} proofs, nothing broken: the books balance")
        finally:
            await control.aclose()


async def _resident_gets_coupon(
    say: Narrator, control: StandInControl, resident: ResidentPhone, city: City
) -> dict[str, Any]:
    name = secrets.choice(city.residents).name
    born = date(1950, 1, 1) + timedelta(days=secrets.randbelow(20_000))
    number, openid = id_number(born, 1 + secrets.randbelow(999)), f"oWalk{secrets.token_hex(8)}"
    await control.register_people([(name, number)])
    await say.tell("居民微信登录 · login", resident.log_in(await control.login_code(openid)))
    await say.tell("实名认证 · real name bound", resident.bind(name, number))
    me = await resident.call("GET", "/me")
    say.note(f"{me['name']} {me['id_number']}")
    listed = await say.tell("查看活动 · campaigns", resident.call("GET", "/campaigns"))
    # Whoever tried the console before may have started or ended campaigns.
    due = sum(campaign["points"] for campaign in listed["campaigns"] if campaign["trigger"] == "identity_bound")
    wallet = await say.tell("活动发放积分 · campaign pays", resident.wait_for_points(due))
    expect(wallet["points"], due, "points after the campaigns that reward a real name")
    say.note(f"{wallet['points']} 积分, 最早到期 {wallet['next_expiry']['expires_on']}")
    offer = next((one for one in listed["coupons"] if one["title"] == TEMPLATE_TITLE), None)
    if offer is None:
        raise WalkFailed(f"{TEMPLATE_TITLE} is not among the coupons")
    coupon = await say.tell("积分兑换电子券 · exchange", resident.claim(offer["template_id"]))
    say.note(f"{coupon['benefit']['title']}, 用 {coupon['price_points']} 积分, 余 {coupon['points_after']}")
    return coupon


async def _counter_redeems(
    say: Narrator,
    control: StandInControl,
    resident: ResidentPhone,
    counter: CounterPhone,
    coupon: dict[str, Any],
    store: tuple[str, str],
    folder: Path,
) -> None:
    (handle,) = await say.tell("出示动态码 · handle and seed", resident.show(coupon["id"]))
    code = handle.code_at(time.time())
    png = await say.tell("渲染二维码 · PNG", resident.picture(handle.credential_id))
    picture = folder / "code.png"
    picture.write_bytes(png)
    scanned = await say.tell("相机读码 · zxing-cpp", asyncio.to_thread(read_picture, png))
    if scanned[:12] != code[:12]:
        raise WalkFailed(f"the camera read {scanned}, the phone computed {code}")
    say.note(f"{scanned}  ({picture})")
    await say.tell("店员登录 · merchant login", counter.log_in(await control.login_code(store[1]), store[0]))
    found = await say.tell("验码 · verify", counter.verify(scanned))
    expect(found["result"], "usable", "the code at the counter")
    say.note(f"可用: {found['benefit']['title']}   {found['check']}")
    wallet = await resident.call("GET", "/wallet")
    news = asyncio.create_task(resident.call("GET", f"/events?after={wallet['seq']}&wait_s=10"))
    await asyncio.sleep(0.05)
    receipt = await say.tell("核销 · redeem", counter.redeem(found["ticket"], ORDER_FEN))
    told = await say.tell("居民手机收到通知 · push", news)
    expect(told["items"][0]["kind"], "coupon_redeemed", "the news on the resident's phone")
    expect(told["items"][0]["check"], receipt["check"], "the check signs on both screens")
    say.note(f"订单 ¥{ORDER_FEN / 100:.2f} 优惠 ¥{receipt['discount_fen'] / 100:.2f}   {receipt['check']}")
    again = await say.tell("同一凭据再次提交 · same ticket again", counter.redeem(found["ticket"], ORDER_FEN))
    expect(again, receipt, "the receipt of the same ticket")
    second = await say.tell("再次扫码 · second scan", counter.verify(scanned))
    expect(second["result"], "not_valid", "a second scan")
    try:
        await counter.redeem(found["ticket"], ORDER_FEN + 100)
    except Refusal as refusal:
        expect(refusal.code, "idempotency_mismatch", "the same ticket with another amount")
    else:
        raise WalkFailed("the same ticket with another amount was accepted")
