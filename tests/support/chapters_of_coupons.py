"""Chapters about coupons; see `tests.support.chapters`."""

from __future__ import annotations

from datetime import timedelta

from tests.support.ledger import COUNTER, OTHER_MERCHANT, SECOND_TERMINAL
from tests.support.telling import MS, freeze, lock, on, sees
from tests.support.town_life import TownLife
from tests.support.trial import call, client_id


async def claiming(life: TownLife) -> None:
    """Price, stock, the sponsor's reserve, caps by issue."""
    await sees(life, "insufficient_points", life.claim(0, "bought"))
    await life.adjust(0, 500, months=1)
    for answer in ("done", "done", "done", "done", "limit_reached"):
        await sees(life, answer, life.claim(0, "bought"))
    await life.set_clock(on(2027, 1, 31, 12))
    for answer in ("done", "done", "done", "sold_out"):
        await sees(life, answer, life.claim(1, "last"))
    await sees(life, "insufficient_points", life.claim(1, "over"))
    for answer in ("done", "done", "done", "done", "limit_reached"):
        await sees(life, answer, life.claim(0, "over"))
    await life.fund(0, "close")
    await life.set_clock(on(2027, 2, 1, 12))
    await sees(life, "terms_closed", life.claim(0, "bought"))
    await life.fund(0, "open")
    await sees(life, "done", life.claim(0, "bought"))
    await sees(life, "replayed", life.again(0))
    await life.set_clock(on(2027, 3, 1))
    await sees(life, "insufficient_points", life.claim(0, "plain"))
    await sees(life, "outside_window", life.claim(0, "last"))


async def granting(life: TownLife) -> None:
    """A coupon given by the house: free, at any hour, and bounded like a claim."""
    await sees(life, "outside_window", life.claim(0, "gift"))
    await sees(life, "invalid_item", life.grant(0, "gift", source=""))
    await sees(life, "invalid_item", life.grant(0, "gift", source="x" * 121))
    await sees(life, "done", life.grant(0, "gift", source="x" * 120))
    await sees(life, "replayed", life.again(0))
    await sees(life, "idempotency_mismatch", life.another_body(0))
    await sees(life, "done", life.grant(0, "gift"))
    await sees(life, "done", freeze(life, "debit_frozen"))
    await sees(life, "account_frozen", life.claim(0, "bought"))
    await sees(life, "done", life.grant(0, "gift"))
    await sees(life, "limit_reached", life.grant(0, "gift"))
    await sees(life, "done", freeze(life, "frozen"))
    await sees(life, "account_frozen", life.grant(0, "last"))
    for answer in ("done", "done", "done", "sold_out"):
        await sees(life, answer, life.grant(1, "last"))
    terms = await life.template("gift")
    asked = {"template": terms.template_id, "terms": terms.id, "source": "job:7"}
    by_client = call("grant", life.people[1], client_id(life.now), "worker", **asked)
    await sees(life, "operation_not_permitted", life.trial.ask(by_client))
    await sees(life, "terms_not_found", life.worker(1, "grant", template=1, terms=1, source="job:7"))
    await sees(life, "done", life.of_coupon("void_coupon", 0, reason="x", actor=9))  # no price to give back
    await sees(life, "done", life.grant(2, "percent"))
    await sees(life, "done", life.counter(6, COUNTER, 5000))
    await life.fund(0, "close")  # the gift's stock
    await sees(life, "terms_closed", life.grant(2, "gift"))
    await life.set_clock(on(2027, 2, 1))
    await sees(life, "outside_window", life.grant(2, "last"))  # its last day is over


async def starving(life: TownLife) -> None:
    """A budget of the sponsor that is nearly gone refuses the claim whole."""
    for answer in (*["done"] * 4, "sold_out"):
        await sees(life, answer, life.claim(0, "percent"))
    await sees(life, "done", life.claim(0, "last"))
    await sees(life, "done", life.counter(0, COUNTER, 39_999))


async def redeeming(life: TownLife) -> None:
    """At the counter: whose code it is, when, what it is worth; back inside the window, once."""
    await life.claim(0, "percent")
    await life.claim(0, "percent")
    await life.claim(0, "last")
    await sees(life, "usable", life.scan(0, COUNTER))
    await sees(life, "not_valid", life.scan(0, SECOND_TERMINAL, fresh=False))
    await sees(life, "not_valid", life.scan(0, COUNTER, code_ok=False, fresh=False))
    await sees(life, "not_valid", life.scan(0, COUNTER, own=True, fresh=False))
    await sees(life, "usable", life.scan(0, COUNTER, fresh=False))
    await sees(life, "ticket_expired", life.redeem(0, 7777, 0))
    await sees(life, "ticket_foreign", life.redeem(0, 7777, elsewhere=SECOND_TERMINAL))
    await sees(life, "order_amount_required", life.redeem(0))
    await sees(life, "done", life.redeem(0, 5000))
    await sees(life, "idempotency_mismatch", life.another_body(0))
    await sees(life, "not_valid", life.scan(0, COUNTER, fresh=False))
    await sees(life, "not_due", life.coupon_job(0, "release_subsidy"))
    await sees(life, "coupon_not_usable", life.coupon_job(1, "release_subsidy"))
    await sees(life, "usable", life.scan(1, COUNTER))
    await sees(life, "limit_reached", life.redeem(1, 39_999))
    await sees(life, "done", life.void(0, "x"))
    await sees(life, "replayed", life.void(0, "y"))
    await sees(life, "done", life.redeem(1, 15_000))
    await life.scan(2, COUNTER)
    await sees(life, "order_amount_refused", life.redeem(2, 1))
    await sees(life, "done", life.redeem(2))
    await life.to_edge("void", timedelta(0), on(2028, 1, 1))
    await sees(life, "not_due", life.coupon_job(1, "release_subsidy"))
    await life.set_clock(life.now + MS)
    await sees(life, "void_window_closed", life.void(2, "x"))
    await sees(life, "done", life.coupon_job(1, "release_subsidy"))
    await sees(life, "idempotency_mismatch", life.another_body(0))
    await sees(life, "coupon_not_usable", life.coupon_job(1, "release_subsidy"))


async def suspending(life: TownLife) -> None:
    """A counter that is closed takes nothing; another merchant's, five wrong codes, a log-out neither."""
    await life.adjust(0, 100)
    await life.claim(0, "plain")
    await sees(life, "not_valid", life.scan(0, OTHER_MERCHANT))
    for kind in ("merchant", "terminal", "staff"):
        await life.suspend(kind, COUNTER, False)
        await sees(life, "merchant_suspended", life.scan(0, COUNTER))
        await life.suspend(kind, COUNTER, True)
    await sees(life, "usable", life.scan(0, COUNTER))
    await life.suspend("merchant", COUNTER, False)
    await sees(life, "merchant_suspended", life.redeem(0))
    await life.suspend("merchant", COUNTER, True)
    await life.log_out(0)
    await sees(life, "credential_spent", life.redeem(0))
    await sees(life, "not_valid", life.scan(0, COUNTER, code_ok=False))
    for _ in range(4):
        await sees(life, "not_valid", life.scan(0, COUNTER, code_ok=False, fresh=False))
    await sees(life, "not_valid", life.scan(0, COUNTER, fresh=False))
    await sees(life, "usable", life.scan(0, COUNTER))
    await life.to_edge("midnight", timedelta(0), on(2028, 1, 1))
    await sees(life, "done", life.redeem(1, None, 86_400))


async def returning(life: TownLife) -> None:
    """A coupon that comes back after its last day is expired at once, unless the terms give grace."""
    await life.adjust(0, 500)
    for which in ("plain", "over", "bought"):
        await life.claim(0, which)
    await life.scan(0, COUNTER)
    await sees(life, "done", life.redeem(0))
    await life.set_clock(on(2027, 1, 31, 23, 50))  # a Sunday
    await life.claim(0, "over")
    for place in (1, 3):
        await life.scan(place, COUNTER)
    await sees(life, "below_threshold", life.redeem(1, 4999))
    await sees(life, "done", life.redeem(1, 5000))
    await sees(life, "done", life.redeem(2, 7777))
    await life.set_clock(on(2027, 2, 1, 0, 20))
    await sees(life, "done", life.void(0, "x"))  # out of date, no grace
    await sees(life, "done", life.void(1, "x"))  # at the last instant; counts for the week of the redemption
    await life.set_clock(life.now + MS)
    await sees(life, "void_window_closed", life.void(2, "x"))
    await life.set_clock(on(2027, 2, 11, 23, 50))
    await sees(life, "not_due", life.coupon_job(2, "expire_coupon"))
    await life.scan(1, COUNTER)
    await life.scan(2, COUNTER)
    await sees(life, "done", life.redeem(3, 5000))
    await life.set_clock(on(2027, 2, 12))
    await sees(life, "coupon_expired", life.redeem(4))
    await sees(life, "done", life.coupon_job(2, "expire_coupon"))
    await sees(life, "idempotency_mismatch", life.another_body(0))
    await sees(life, "coupon_not_usable", life.coupon_job(2, "expire_coupon"))
    await sees(life, "done", life.void(3, "x"))  # three days of grace
    await sees(life, "usable", life.scan(1, COUNTER))


async def locking(life: TownLife) -> None:
    """A lock keeps a coupon for one order until its last instant, and no longer."""
    await life.adjust(0, 500)
    await life.claim(0, "last")
    await life.claim(0, "plain")
    for seconds, answer in ((0, "invalid_item"), (901, "invalid_item"), (900, "done"), (60, "coupon_not_usable")):
        await sees(life, answer, lock(life, 0, seconds))
    await sees(life, "coupon_not_usable", life.scan(0, COUNTER))
    await sees(life, "not_due", life.unlock(0, job=True))
    await sees(life, "done", life.unlock(0))
    await sees(life, "done", lock(life, 0, 60))
    await life.to_edge("lock", timedelta(0), on(2028, 1, 1))
    await sees(life, "lock_expired", life.redeem_locked(1, COUNTER, None))
    await sees(life, "usable", life.scan(0, COUNTER))
    await sees(life, "done", lock(life, 0, 60))
    await sees(life, "coupon_not_usable", life.redeem(0))
    await life.to_edge("lock", -MS, on(2028, 1, 1))
    await sees(life, "done", life.redeem_locked(2, COUNTER, None))
    await sees(life, "idempotency_mismatch", life.another_body(0))  # the same order for another coupon
    await sees(life, "done", life.void(0, "x"))
    await sees(life, "done", lock(life, 0, 60))
    void = next(iter(life.oracle.redemptions.values())).void
    await sees(life, "done", life.redeem_locked(3, COUNTER, None, void_id=void))
    await sees(life, "idempotency_mismatch", life.void(1, "x"))  # the id of another redemption's void
    await life.claim(1, "last")
    await lock(life, 2, 60)
    owner, coupon, by = life.locks[-1]
    order = {"coupon_id": coupon, "lock_id": by, "at": COUNTER, "amount": None, "order_no": None,
             "void_id": client_id(life.now)}  # fmt: skip
    taken = next(iter(life.oracle.redemptions))  # the id of another resident's redemption
    await sees(life, "invalid_item", life.trial.ask(call("redeem_locked", owner, taken, **order)))
    await sees(life, "done", lock(life, 1, 60))
    await life.set_clock(on(2027, 2, 1))
    await sees(life, "done", life.coupon_job(1, "expire_coupon"))


async def ending(life: TownLife) -> None:
    """A coupon taken away gives its price back, to the lots it was paid from."""
    await life.adjust(0, 75, months=1)
    await life.set_clock(on(2027, 2, 25))
    for _ in range(3):
        await life.claim(0, "bought")
    await sees(life, "coupon_not_usable", life.of_coupon("void_coupon", 0, stranger=1, reason="x", actor=9))
    await sees(life, "invalid_item", life.of_coupon("void_coupon", 0, reason="", actor=9))
    await sees(life, "done", life.of_coupon("void_coupon", 0, reason="x", actor=9))
    await sees(life, "coupon_not_usable", life.of_coupon("void_coupon", 0, reason="x", actor=9))
    await life.set_clock(on(2027, 3, 1))  # the points it was paid with are past their day
    await sees(life, "done", life.of_coupon("void_coupon", 1, reason="x", actor=9))
    await life.set_clock(on(2027, 4, 1))
    await sees(life, "coupon_expired", life.of_coupon("void_coupon", 2, reason="x", actor=9))
