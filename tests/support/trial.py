"""One call put to the vault and to the oracle; their answers must be one. At the end, so must what they hold.

`Calls` writes requests down, `Trial` asks both. An answer nobody can explain is a failure, an unknown error too.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from server.kit.ids import uuid7, uuid8
from tests.support.ledger import JOB_KEY, SECOND_TERMINAL, Ledger
from tests.support.oracle import Oracle
from tests.support.oracle_state import Call, Judgement, Row
from wallet import Refused, Vault

_jobs = itertools.count(1)
POINTS = ("d_avail", "d_held", "d_peer")
COUPONS = ("c_stock", "c_out", "c_used", "c_gone")
FEN = ("f_budget", "f_reserved", "f_payable")


def client_id(at: datetime) -> UUID:
    return uuid7(at)


def job_id(at: datetime) -> UUID:
    return uuid8(at, "oracle", str(next(_jobs)), JOB_KEY)


#: What is no part of a request's meaning: it may differ between two sendings of one id.
UNMEANT = {
    "earn": {"town"}, "claim": {"terms", "town"}, "grant": {"terms", "town"},
    "redeem": {"credential", "ticket_until"}, "redeem_locked": {"void_id"}, "void": {"reason"},
    "unlock_coupon": {"reason"},
}  # fmt: skip


def call(op: str, owner: int, id: UUID, door: str = "app", **args: Any) -> Call:
    """A request with its meaning: all its arguments but those that may differ between sendings."""
    meant = {name: value for name, value in args.items() if name not in UNMEANT.get(op, ())}
    if (counter := args.get("at")) is not None:
        meant["merchant"] = counter.merchant_id
        meant["terminal"] = None if op == "void" else counter.terminal_id
    meant.pop("at", None)
    return Call(op, owner, id, args, tuple(sorted(meant.items())), door)


def changed(first: Call, at: datetime) -> Call:
    """The same id for another request; the same request where an operation has but one."""
    by_op: dict[str, dict[str, Any]] = {
        "claim": {"template": 1}, "grant": {"source": "another"},
        "expire_points": {}, "void": {}, "unfreeze": {"authority": "y"},
        "freeze": {"authority": "y"}, "redeem": {"amount": (first.args.get("amount") or 0) + 1},
    }  # fmt: skip
    if first.op in by_op:
        changes = by_op[first.op]
    elif "points" in first.args:
        changes = {"points": (first.args["points"] or 7) + 1}
    elif first.op == "earn":
        changes = {"on": first.args["on"] - timedelta(days=1)}
    else:
        door = job_id if first.door == "worker" else client_id
        changes = {"hold_id" if "hold_id" in first.args else "coupon_id": door(at)}
    return call(first.op, first.owner, first.id, first.door, **{**first.args, **changes})


def each_otherwise(first: Call, at: datetime) -> Iterator[Call]:
    """The same id again, each time with one argument otherwise; the intent tells whether that means another thing. A
    void has no id of its own beside its redemption's."""
    for name, value in first.args.items():
        if name == "redemption":
            continue
        yield call(first.op, first.owner, first.id, first.door, **{**first.args, name: otherwise(name, value, at)})


def otherwise(name: str, value: Any, at: datetime) -> Any:
    if name == "at":
        return SECOND_TERMINAL
    if name == "order_no":
        return f"{value}y"
    if name == "kind":
        return "frozen" if value == "debit_frozen" else "debit_frozen"
    by_type: dict[type, Callable[[], Any]] = {
        int: lambda: value + 1,
        str: lambda: value + "y",
        UUID: lambda: client_id(at),
        date: lambda: value - timedelta(days=1),
        datetime: lambda: value + timedelta(seconds=1),
        type(None): lambda: at if name == "until" else 1,
    }
    return by_type[type(value)]()


async def send(vault: Vault, one: Call) -> Any:
    """Puts a request to the vault's face."""
    args = dict(one.args)
    if one.op == "earn":
        return await vault.earn(one.owner, one.id, args["terms"], args["on"], args.get("points"), town=args.get("town"))
    if one.op == "claim":
        return await vault.claim(
            one.owner, one.id, template_id=args["template"], terms_id=args["terms"], town=args.get("town")
        )
    if one.op == "grant":
        return await vault.grant(
            one.owner, one.id, template_id=args["template"], terms_id=args["terms"], source=args["source"],
            town=args.get("town"),
        )  # fmt: skip
    if one.op == "redeem":
        return await vault.redeem(
            owner=one.owner, credential_id=args["credential"], redemption_id=one.id, acceptor=args["at"],
            ticket_expires_at=args["ticket_until"], order_amount_fen=args["amount"], order_no=args["order_no"],
        )  # fmt: skip
    if one.op == "redeem_locked":
        return await vault.redeem_locked(
            owner=one.owner, id=one.id, void_id=args["void_id"], coupon_id=args["coupon_id"], lock_id=args["lock_id"],
            acceptor=args["at"], order_amount_fen=args["amount"], order_no=args["order_no"],
        )  # fmt: skip
    if one.op == "void":
        return await vault.void(args["redemption"], acceptor=args["at"], reason=args["reason"])
    return await getattr(vault, one.op)(one.owner, one.id, **args)


class Trial:
    """A ledger and its oracle. `seen` counts what was answered."""

    def __init__(self, ledger: Ledger, oracle: Oracle) -> None:
        self.ledger, self.oracle = ledger, oracle
        self.said: dict[tuple[int, UUID], Any] = {}
        self.past: list[Call] = []
        self.seen: Counter[str] = Counter()
        self.last = ""

    def vault(self, one: Call) -> Vault:
        return self.ledger.worker if one.door == "worker" else self.ledger.app

    async def ask(self, one: Call) -> Any:
        """The vault's result when it is done, else None. Fails when the oracle cannot explain the answer."""
        judged = self.oracle.judge(one, self.ledger.now())
        try:
            done = await send(self.vault(one), one)
        except Refused as refused:
            self._refused(one, judged, refused)
            return None
        if judged.replay is not None:
            assert judged.replay[0] == "done", f"{one}: done, was {judged.replay[0]}"
            assert done.replayed and done.result == self.said[one.owner, one.id], f"{one}: replayed {done}"
            self.note("replayed")
            return done.result
        assert not judged.reasons, f"{one}: the vault did it, the oracle says {sorted(judged.reasons)}"
        assert not done.replayed, f"{one}: replayed, the oracle never saw it"
        self.expect(one, done.result, self.oracle.settle(one, judged, "done"))
        self.said[one.owner, one.id] = done.result
        self.note(one.op, "done")
        self.past.append(one)
        return done.result

    def _refused(self, one: Call, judged: Judgement, refused: Refused) -> None:
        if judged.replay is not None:
            assert refused.replayed and judged.replay[0] == refused.code, f"{one}: {refused!r}, was {judged.replay[0]}"
            self.note("replayed", refused.code)
            return
        assert judged.reasons, f"{one}: the vault says {refused.code}, the oracle says done"
        assert refused.code in judged.reasons, f"{one}: the vault says {refused.code}, the oracle {judged.reasons}"
        assert not refused.replayed, f"{one}: replayed {refused.code}, the oracle never saw it"
        self.oracle.settle(one, judged, refused.code)
        self.note(one.op, refused.code)
        self.past.append(one)

    def note(self, kind: str, code: str = "") -> None:
        """Counts an answer; `last` is the code, or that it was a replay."""
        self.seen[f"{kind} {code}".strip()] += 1
        self.last = f"replayed {code}".strip() if kind == "replayed" else code

    @staticmethod
    def expect(one: Call, result: Any, expected: dict[str, Any]) -> None:
        """The result says what the oracle expects it to."""
        wrong = {name: (getattr(result, name), value) for name, value in expected.items()
                 if getattr(result, name) != value}  # fmt: skip
        assert not wrong, f"{one}: the vault's and the oracle's {wrong}"

    # -- in the end ---------------------------------------------------------------------------------------------------

    async def compare(self) -> None:
        """Balances, lots, holds, refunds, rows, coupons, allowances and budgets are the oracle's."""
        owners = list(self.oracle.wallets)
        await self._compare_wallets(owners)
        await self._compare_rows(owners)
        await self._compare_coupons(owners)
        budgets = list(self.oracle.budgets.left)
        views = await self.ledger.app.budgets(budgets)
        left = {budget: views[budget].left for budget in budgets}
        assert left == self.oracle.budgets.left
        await self._compare_counters()

    async def _compare_counters(self) -> None:
        mine = {key: used for key, used in self.oracle.counted.items() if used}
        rows = await self.ledger.owner.fetch(
            "SELECT c.*, c.cap - g.reserve - (SELECT sum(avail) FROM vault.slot s WHERE s.budget = c.budget)::bigint"
            " AS used FROM vault.counter c JOIN vault.budget g USING (budget) WHERE limit_id = ANY ($1)",
            [*{limit for limit, _, _ in self.oracle.counted}],
        )
        used = {(row["limit_id"], row["place"], row["period_start"]): row["used"] for row in rows if row["used"]}
        assert used == mine, f"counted: {used}, the oracle's {mine}"

    async def _fetch(self, sql: str, owners: list[int]) -> list[Any]:
        return await self.ledger.owner.fetch(f"SELECT * FROM vault.{sql}", owners)

    async def _compare_wallets(self, owners: list[int]) -> None:
        wallets = self.oracle.wallets
        for row in await self._fetch("wallet WHERE owner = ANY ($1)", owners):
            mine = wallets[row["owner"]]
            lots = dict(zip(row["lot_expiry"], row["lot_points"], strict=True))
            assert lots == mine.lots, f"lots of {row['owner']}: {lots}, the oracle's {mine.lots}"
            seen = (row["points_avail"], row["points_held"], row["seq"], row["epoch"])
            assert seen == (mine.avail, mine.held, len(mine.rows), mine.epoch), row
            assert (row["status"], row["frozen_until"]) == (mine.status, mine.frozen_until), row
        holds = {(row["owner"], row["id"]): (parts_of(row["lots"]), row["payee"], row["until"], row["points"])
                 for row in await self._fetch("hold WHERE owner = ANY ($1)", owners)}  # fmt: skip
        assert holds == {
            (owner, id): (one.parts, one.payee, one.until, sum(points for _, points in one.parts))
            for owner, mine in wallets.items() for id, one in mine.holds.items()
        }  # fmt: skip
        refunds = {(row["owner"], row["ref"]): (row["done"], row["renewed_until"])
                   for row in await self._fetch("refunded WHERE owner = ANY ($1) AND done > 0", owners)}  # fmt: skip
        assert refunds == {
            (owner, id): (one.done, one.renewed_until)
            for owner, mine in wallets.items() for id, one in mine.spent.items() if one.done
        }  # fmt: skip
        used = {(row["owner"], row["limit_id"], row["period_start"]): row["used"]
                for row in await self._fetch("allowance WHERE owner = ANY ($1) AND used > 0", owners)}  # fmt: skip
        assert used == {
            (owner, *key): count for owner, mine in wallets.items() for key, count in mine.used.items() if count
        }

    async def _compare_rows(self, owners: list[int]) -> None:
        rows: dict[int, list[Row]] = {owner: [] for owner in owners}
        for row in await self._fetch("journal WHERE owner = ANY ($1) ORDER BY owner, seq", owners):
            legs = (tuple(row[name] or 0 for name in unit) for unit in (POINTS, COUPONS, FEN))
            rows[row["owner"]].append(Row(row["op"], row["st"], *legs, row["avail_after"], row["held_after"]))
        for owner in owners:
            assert rows[owner] == self.oracle.wallets[owner].rows, owner

    async def _compare_coupons(self, owners: list[int]) -> None:
        names = ("owner", "state", "expires_on", "reserved_fen", "redemption_id", "lock_id", "locked_until")
        seen = {row["id"]: tuple(row[name] for name in names)
                for row in await self._fetch("coupon WHERE owner = ANY ($1)", owners)}  # fmt: skip
        assert seen == {
            id: (one.owner, one.state, one.expires_on, one.reserved, one.redemption, one.lock_id, one.locked_until)
            for id, one in self.oracle.coupons.items()
        }
        shown = {row["id"]: (row["state"], row["wrong_codes"])
                 for row in await self._fetch("credential WHERE owner = ANY ($1)", owners)}  # fmt: skip
        assert shown == {id: (one.state, one.wrong_codes) for id, one in self.oracle.credentials.items()}


def parts_of(lots: str) -> list[tuple[date, int]]:
    return [(date.fromisoformat(day), points) for day, points in json.loads(lots)]
