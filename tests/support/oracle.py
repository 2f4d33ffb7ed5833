"""The oracle: what the vault must answer and hold, told a second time from the rules alone.

    judge(call, at)              -> every reason there is to refuse it; none: it must be done; or the answer of a replay
    settle(call, judgement, code) -> what the answer must say; from here on the oracle knows that it was given

It shares no SQL and no arithmetic with `wallet`. Several reasons may hold at once: any of them explains a refusal, only
their absence explains a deed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.support.oracle_coupons import CouponRules
from tests.support.oracle_points import PointRules
from tests.support.oracle_state import (
    NEWEST,
    NUMBERS,
    OLDEST,
    STICKY,
    Call,
    Judgement,
    Wallet,
    city_day,
    stamp_of,
    version_of,
)

#: What a frozen wallet does not do. A debit-frozen one does not pay.
STOPPED = {"earn", "claim", "grant", "spend", "hold", "capture", "refund", "redeem", "redeem_locked", "lock_coupon"}


@dataclass
class Oracle(PointRules, CouponRules):
    """One town's ledger. The journal has months from `first_month` until before `after_months`."""

    first_month: datetime
    after_months: datetime

    def judge(self, call: Call, at: datetime) -> Judgement:
        """Replay, then the id, then the rules: each is asked only when what comes before it did not answer."""
        wallet = self.wallets.get(call.owner)
        if wallet is None:
            return Judgement({"wallet_not_open"})
        if call.id in wallet.answers:
            op, intent, code, answer = wallet.answers[call.id]
            if (op, intent) != (call.op, call.intent):
                return Judgement({"idempotency_mismatch"})
            return Judgement(set(), replay=(code, answer))
        if why := self._id_reasons(call, at):
            return Judgement(why)
        judged: Judgement = getattr(self, f"_{call.op}")(wallet, call, at)
        judged.today = city_day(at)
        judged.reasons |= self._freeze_reasons(wallet, call, at)
        return judged

    def _freeze_reasons(self, wallet: Wallet, call: Call, at: datetime) -> set[str]:
        kind = wallet.frozen(at)
        template = self.templates.get(call.args.get("terms"))
        dear = call.op in ("spend", "hold") or (call.op == "claim" and template is not None and template.price_points)
        return {"account_frozen"} if (dear and kind != "open") or (call.op in STOPPED and kind == "frozen") else set()

    def _id_reasons(self, call: Call, at: datetime) -> set[str]:
        if version_of(call.id) != (8 if call.door == "worker" else 7):
            return {"operation_not_permitted"}
        stamp = stamp_of(call.id)
        windowed = call.door == "app" and call.op != "void"
        if windowed and not at - OLDEST <= stamp <= at + NEWEST:
            return {"idempotency_key_expired"}
        return set() if self.first_month <= stamp < self.after_months else {"idempotency_key_expired"}

    def settle(self, call: Call, judgement: Judgement, code: str) -> dict[str, Any]:
        """Remembers an answer given for the first time. A refusal that may pass leaves no trace."""
        answer: dict[str, Any] = {}
        wallet = self.wallets.get(call.owner)
        if wallet is None:
            return answer
        before = len(wallet.rows)
        if code == "done":
            assert judgement.effect is not None
            answer = judgement.effect()
        elif code in STICKY:
            wallet.write(call.op, NUMBERS[code])
        else:
            return answer
        live = sum(points for day, points in wallet.lots.items() if day >= judgement.today)
        answer |= {"id": call.id, "owner": call.owner, "seq": before + 1, "points_after": live}
        wallet.answers[call.id] = (call.op, call.intent, code, answer)
        return answer
