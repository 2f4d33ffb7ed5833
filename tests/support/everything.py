"""One ledger in which every operation happened, with its ways to end and its refusals that stay."""

from __future__ import annotations

from datetime import timedelta

from tests.support.ledger import COUNTER, Ledger, refusal
from wallet import ScopedLimit

#: Every operation that leaves a journal row.
ALL_OPS = {*range(1, 19)}
PAYEE = 900_001


async def everything(ledger: Ledger) -> int:
    """Books every kind of row for one resident and returns the resident; the clock ends 70 days later."""
    app, worker = ledger.app, ledger.worker
    resident = await ledger.resident(points=1000)
    await ledger.earn(resident, await ledger.campaign(points=50, months=1))
    await _points(ledger, resident)
    bounded = [
        ScopedLimit(limit_id="t", scope="campaign", action="issue", cap=100),
        ScopedLimit(limit_id="t", scope="store", action="redeem", measure="face_value_fen", period="week", cap=90_000),
    ]
    terms = await ledger.template(price_points=10, sponsor_bp=5000, scoped_limits=tuple(bounded))
    await ledger.coupon(resident, terms)
    await ledger.redeem(await ledger.scanned(terms, resident))
    voided = await ledger.redeem(await ledger.scanned(terms, resident))
    await app.void(voided.result.id, acceptor=COUNTER, reason="wrong order")
    await _locks(ledger, resident)
    until = ledger.now() + timedelta(days=5)
    for kind in ("debit_frozen", "frozen"):
        await app.freeze(resident, ledger.id7(), kind=kind, authority="法院", reason="案号 1", until=until, actor=9)
    await app.unfreeze(resident, ledger.id7(), authority="法院", reason="结案", actor=9)
    frozen = await ledger.resident(points=5)
    await app.freeze(frozen, ledger.id7(), kind="frozen", authority="法院", reason="案号 2", until=None, actor=9)

    # What time does: breakage, a hold that lapses, refund and void after the last day, expiry, the subsidy's rest.
    late = await ledger.template(void_window_s=90 * 86_400)
    redeemed = await ledger.redeem(await ledger.scanned(late, resident))
    halves = await ledger.template(kind="discount", pay_bp=9000, cap_fen=1000, face_value_fen=0)
    half = await ledger.redeem(await ledger.scanned(halves, resident), amount=5000)
    spent = await app.spend(resident, ledger.id7(), points=20, payee=PAYEE)
    held = await app.hold(resident, ledger.id7(), points=15, payee=PAYEE, life_s=60)
    short = await ledger.resident()
    await ledger.earn(short, await ledger.campaign(points=50, months=1))
    await ledger.move_clock(days=70)
    await worker.expire_points(short, ledger.id8())
    await worker.release(resident, ledger.id8(), hold_id=held.result.id)
    await app.refund(resident, ledger.id7(), posting_id=spent.result.id, points=20, reason="too late")
    await app.void(redeemed.result.id, acceptor=COUNTER, reason="too late")
    await worker.release_subsidy(resident, ledger.id8(), coupon_id=half.result.coupon_id)
    coupon = await ledger.owner.fetchval(
        "SELECT id FROM vault.coupon WHERE owner = $1 AND state = 'issued' ORDER BY id LIMIT 1", resident
    )
    await worker.expire_coupon(resident, ledger.id8(), coupon_id=coupon)
    return resident


async def _points(ledger: Ledger, resident: int) -> None:
    app, worker = ledger.app, ledger.worker
    spent = await app.spend(resident, ledger.id7(), points=30, payee=PAYEE, memo="一杯茶")
    await app.refund(resident, ledger.id7(), posting_id=spent.result.id, points=10, reason="part")
    await app.refund(resident, ledger.id7(), posting_id=spent.result.id, points=5, reason="part")
    with refusal("refund_too_large"):
        await app.refund(resident, ledger.id7(), posting_id=spent.result.id, points=30, reason="too much")
    with refusal("insufficient_points"):
        await app.spend(resident, ledger.id7(), points=10**9, payee=PAYEE)
    whole = await app.hold(resident, ledger.id7(), points=40, payee=PAYEE, life_s=600)
    captured = await app.capture(resident, ledger.id7(), hold_id=whole.result.id, points=25)
    await app.refund(resident, ledger.id7(), posting_id=captured.result.id, points=25, reason="all of it")
    given = await app.hold(resident, ledger.id7(), points=7, payee=PAYEE, life_s=600)
    await app.release(resident, ledger.id7(), hold_id=given.result.id)
    await app.hold(resident, ledger.id7(), points=9, payee=PAYEE, life_s=30 * 86_400)
    for points in (11, -6):
        await worker.adjust(resident, ledger.id8(), points=points, actor=1, approver=2, reason="更正", document="文 1")


async def _locks(ledger: Ledger, resident: int) -> None:
    app = ledger.app
    terms = await ledger.template(price_points=10)
    coupons = [await ledger.coupon(resident, terms) for _ in range(4)]
    locks = []
    for number, coupon in enumerate(coupons[:3]):
        lock = ledger.id7()
        await app.lock_coupon(resident, lock, coupon_id=coupon, life_s=600, request_no=f"order {number}", actor=5)
        locks.append(lock)
    await app.unlock_coupon(resident, ledger.id7(), coupon_id=coupons[0], lock_id=locks[0], reason="cancelled")
    await app.redeem_locked(
        owner=resident, id=ledger.id7(), void_id=ledger.id7(), coupon_id=coupons[1], lock_id=locks[1],
        acceptor=COUNTER, order_amount_fen=None,
    )  # fmt: skip
    await app.void_coupon(resident, ledger.id7(), coupon_id=coupons[3], reason="issued in error", actor=9)
