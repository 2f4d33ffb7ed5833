"""One process that posts everything on everybody: `python -m tests.support.mixing <plan.json>`.

It draws residents, operations and templates at random, through the application's lanes and the worker's, until its
lanes have made so many calls, and prints one JSON object: calls, items, how each operation ended, and the lanes' own
counts. Several of these on one database make batches that want the same wallets and slots in every order.

The plan: {app, worker (DSNs), lane (first), batches, seed, residents, templates, campaigns, budgets, clients}.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from msgspec import convert
from msgspec.structs import replace

from server.kit.ids import uuid7, uuid8
from tests.support.ledger import COUNTER, JOB_KEY, OTHER_STORE, SECOND_TERMINAL
from wallet import Acceptor, CouponTerms, Vault, VaultError, bucket_of

KEPT = 40
TOWNS = ("南街", "北街", None)
ISSUED = "SELECT id FROM vault.coupon WHERE owner = $1 AND b = $1 & 1023 AND state = 'issued' ORDER BY id LIMIT $2"
CITY = ZoneInfo("Asia/Shanghai")
Act = Callable[[int], Awaitable[Any]]


class Mixer:
    """Random operations of one process. What one act leaves behind (a coupon, a hold …) a later one takes up."""

    def __init__(self, plan: dict[str, Any], app: Vault, worker: Vault, now: datetime) -> None:
        self._plan, self._app, self._worker = plan, app, worker
        self._chance = random.Random(plan["seed"])
        self._ahead = now - datetime.now(UTC)
        self._left: dict[str, dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
        self.ended: Counter[str] = Counter()
        self.failed: list[str] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def id7(self) -> UUID:
        return uuid7(self.now())

    def id8(self) -> UUID:
        return uuid8(self.now(), "mixing", str(uuid4()), JOB_KEY)

    def keep(self, what: str, resident: int, one: Any) -> None:
        kept = self._left[what][resident]
        kept.append(one)
        del kept[:-KEPT]

    def some(self, what: str, resident: int) -> Any:
        """One of what is left for this resident, taken out; a random id when there is nothing."""
        kept = self._left[what][resident]
        return kept.pop(self._chance.randrange(len(kept))) if kept else None

    def holder(self, what: str, resident: int) -> int:
        """This resident when something is left for it, else another for whom something is."""
        others = [one for one, kept in self._left[what].items() if kept]
        return resident if resident in others or not others else self._chance.choice(others)

    def place(self) -> Acceptor:
        return self._chance.choice((COUNTER, SECOND_TERMINAL, OTHER_STORE))

    async def take_stock(self) -> None:
        """What earlier processes left: coupons whose time to expire comes, points whose time came before anybody posts.

        Every posting books the points that are past their day, so later calls of the job seldom find any.
        """
        for resident in self._plan["residents"]:
            for row in await self._app._rows(ISSUED, resident, KEPT):
                self.keep("coupon", resident, row["id"])
            await self.act(self.expire_points, resident)

    async def claim(self, resident: int) -> None:
        template, town = self._chance.choice(self._plan["templates"]), self._chance.choice(TOWNS)
        done = await self._app.claim(resident, self.id7(), template_id=template, terms_id=template, town=town)
        self.keep("coupon", resident, done.result.coupon_id)

    async def redeem(self, resident: int) -> None:
        coupon = self.some("coupon", resident) or self.id7()
        credential, place = self.id7(), self.place()
        (shown,) = await self._app.issue_credentials(resident, coupon, [credential], [secrets.randbelow(10**10)], [600])
        scanned = await self._app.scan(
            shown.handle, code_ok=True, acceptor=place, own_resident=None, redemption_id=self.id7(), void_id=self.id7()
        )
        done = await self._app.redeem(
            owner=resident, credential_id=credential, redemption_id=scanned.redemption_id, acceptor=place,
            ticket_expires_at=self.now() + timedelta(minutes=5), order_amount_fen=None,
        )  # fmt: skip
        self.keep("redemption", resident, (done.result.id, coupon, place))

    async def redeem_locked(self, resident: int) -> None:
        coupon, place = self.some("coupon", resident) or self.id7(), self.place()
        lock = self.id7()
        await self._app.lock_coupon(resident, lock, coupon_id=coupon, life_s=60, request_no=str(lock), actor=5)
        if self._chance.random() < 0.3:
            await self._app.unlock_coupon(resident, self.id7(), coupon_id=coupon, lock_id=lock, reason="changed")
            self.keep("coupon", resident, coupon)
            return
        done = await self._app.redeem_locked(
            owner=resident, id=self.id7(), void_id=self.id7(), coupon_id=coupon, lock_id=lock, acceptor=place,
            order_amount_fen=None,
        )  # fmt: skip
        self.keep("redemption", resident, (done.result.id, coupon, place))

    async def void(self, resident: int) -> None:
        resident = self.holder("redemption", resident)
        redemption, coupon, place = self.some("redemption", resident) or (self.id7(), self.id7(), COUNTER)
        if self._chance.random() < 0.3:
            await self._worker.release_subsidy(resident, self.id8(), coupon_id=coupon)
        await self._app.void(redemption, acceptor=place, reason="wrong")
        self.keep("coupon", resident, coupon)

    async def void_coupon(self, resident: int) -> None:
        coupon = self.some("coupon", resident) or self.id7()
        await self._app.void_coupon(resident, self.id7(), coupon_id=coupon, reason="wrong", actor=3)

    async def expire_coupon(self, resident: int) -> None:
        coupon = self.some("coupon", resident) or self.id7()
        await self._worker.expire_coupon(resident, self.id8(), coupon_id=coupon)

    async def spend(self, resident: int) -> None:
        done = await self._app.spend(resident, self.id7(), points=self._chance.randrange(1, 40), payee=77)
        self.keep("spend", resident, done.result.id)

    async def refund(self, resident: int) -> None:
        spend = self.some("spend", resident) or self.id7()
        self.keep("spend", resident, spend)
        points = self._chance.randrange(1, 20)
        await self._app.refund(resident, self.id7(), posting_id=spend, points=points, reason="returned")

    async def hold(self, resident: int) -> None:
        hold = self.id7()
        await self._app.hold(resident, hold, points=self._chance.randrange(1, 40), payee=77, life_s=300)
        self.keep("hold", resident, hold)

    async def capture(self, resident: int) -> None:
        resident = self.holder("hold", resident)
        hold = self.some("hold", resident) or self.id7()
        done = await self._app.capture(resident, self.id7(), hold_id=hold, points=self._chance.choice((None, 1)))
        self.keep("spend", resident, done.result.id)

    async def release(self, resident: int) -> None:
        resident = self.holder("hold", resident)
        vault, id = self._chance.choice(((self._app, self.id7()), (self._worker, self.id8())))
        await vault.release(resident, id, hold_id=self.some("hold", resident) or self.id7())

    async def earn(self, resident: int) -> None:
        on: date = self.now().astimezone(CITY).date()
        await self._worker.earn(resident, self.id8(), self._chance.choice(self._plan["campaigns"]), on)

    async def adjust(self, resident: int) -> None:
        points = self._chance.choice((-5, 5, 50))
        await self._worker.adjust(
            resident, self.id8(), points=points, actor=1, approver=2, reason="put right", document="doc 7",
            validity_months=1,
        )  # fmt: skip

    async def expire_points(self, resident: int) -> None:
        await self._worker.expire_points(resident, self.id8())

    async def freeze(self, resident: int) -> None:
        await self._app.freeze(
            resident, self.id7(), kind="frozen", authority="court", reason="order 9", until=None, actor=4
        )
        await asyncio.sleep(0)
        await self._app.unfreeze(resident, self.id7(), authority="court", reason="lifted", actor=4)

    async def lay_out(self, resident: int) -> None:
        """Budgets move under everybody's feet."""
        budget = self._chance.choice(self._plan["budgets"])
        if self._chance.random() < 0.5:
            await self._app.budget_entry(budget, self.id7(), "topup", self._chance.randrange(1, 500), 1, 2, "doc 8")
        else:
            await self._app._value("SELECT vault.rebalance($1, 1, $2::smallint)", budget, bucket_of(resident))

    async def change_caps(self, resident: int) -> None:
        """Terms with other caps, all of them wide, on counters that everybody takes from."""
        old = convert(self._chance.choice(self._plan["terms"]), CouponTerms)
        number = self._chance.randrange(10**8, 2 * 10**9)
        limits = [replace(one, cap=self._chance.randrange(10**6, 10**7)) for one in old.scoped_limits]
        self._chance.shuffle(limits)
        await self._app.put_coupon_terms(replace(old, id=number, version=number, scoped_limits=tuple(limits)))

    async def client(self, acts: list[Act], enough: Callable[[], bool]) -> None:
        """Acts at random until there were enough calls."""
        while not enough():
            await self.act(self._chance.choice(acts), self._chance.choice(self._plan["residents"]))

    async def act(self, act: Act, resident: int) -> None:
        """One act, counted. The vault's refusals are answers; all else is a failure."""
        name = act.__name__  # type: ignore[attr-defined]
        try:
            await act(resident)
            self.ended[f"{name}: done"] += 1
        except VaultError as refused:
            self.ended[f"{name}: {refused.code}"] += 1
        except Exception as problem:
            self.failed.append(f"{name}: {problem!r}")


async def mix(plan: dict[str, Any]) -> dict[str, Any]:
    """Runs one plan to its end."""
    app = await Vault.connect(plan["app"], role="app", first_lane=plan["lane"], lanes=2, pool_max=4)
    worker = await Vault.connect(plan["worker"], role="worker", first_lane=plan["lane"], lanes=1, pool_max=2)
    try:
        mixer = Mixer(plan, app, worker, await app.now())
        await mixer.take_stock()

        def calls() -> int:
            return app.lanes.counts.calls + worker.lanes.counts.calls

        acts: list[Act] = [
            mixer.claim, mixer.claim, mixer.redeem, mixer.redeem_locked, mixer.void, mixer.void_coupon,
            mixer.expire_coupon, mixer.spend, mixer.refund, mixer.hold, mixer.capture, mixer.release, mixer.earn,
            mixer.earn, mixer.adjust, mixer.expire_points, mixer.freeze, mixer.lay_out,
            mixer.change_caps,
        ]  # fmt: skip
        clients = (mixer.client(acts, lambda: calls() >= plan["batches"]) for _ in range(plan["clients"]))
        await asyncio.gather(*clients)
        counts = [asdict(vault.lanes.counts) for vault in (app, worker)]
        sizes = [call.size for vault in (app, worker) for call in vault.lanes.calls]
    finally:
        await app.close()
        await worker.close()
    return {
        "calls": sum(one["calls"] for one in counts),
        "items": sum(one["items"] for one in counts),
        "deadlocks": sum(one["deadlocks"] for one in counts),
        "lock_timeouts": sum(one["lock_timeouts"] for one in counts),
        "failures": sum(one["failures"] for one in counts),
        "mixed": sum(size > 1 for size in sizes) / len(sizes),
        "ended": dict(mixer.ended),
        "failed": mixer.failed[:5],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(mix(json.loads(Path(sys.argv[1]).read_text())))))
