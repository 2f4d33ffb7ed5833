"""A storm of redemptions by clients that retry until they are told 201, and the account of what they were told."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg

from tests.support.rawhttp import Line, render
from tests.support.stock import Piece, Stock
from wallet.audit import prove

#: How many tickets a storm redeems; `make faults` sets 10,000.
REDEMPTIONS = int(os.environ.get("CHENGXIN_FAULT_REDEMPTIONS", "300"))
CLIENTS = 32
ATTEMPT_S, PATIENCE_S = 2.0, 180.0
PAUSE_S = 0.05
#: What a retrying client may be told while engines and processes die: try again, in other words.
PASSING = frozenset({409, 503})


@dataclass
class Account:
    """What the clients sent and were told. `acknowledged`: the body of the first 201, by place of the ticket;
    `told_when`: the Retry-After of every 503, "" where there was none."""

    sent: int
    acknowledged: dict[int, bytes] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    told_when: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    other_answers: list[str] = field(default_factory=list)

    def text(self) -> str:
        told = ", ".join(f"{what}: {count}" for what, count in sorted(self.answers.items()))
        return f"{self.sent} tickets, {len(self.acknowledged)} acknowledged; answers {told}"


class Storm:
    """`run` redeems every ticket once; `progress` tells saboteurs how far it has come."""

    def __init__(
        self,
        port: int,
        stock: Stock,
        pieces: Sequence[Piece],
        *,
        clients: int = CLIENTS,
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self._port, self.pieces, self._clients, self._attempt_s = port, pieces, clients, attempt_s
        self._requests = [
            render(
                "POST", "/api/mp/v1/merchant/redemptions", token=piece.till.token, body={"ticket": stock.ticket(piece)}
            )
            for piece in pieces
        ]
        self.account = Account(len(pieces))
        self._moved = asyncio.Condition()

    async def run(self, *sabotage: Callable[[Storm], Awaitable[None]]) -> Account:
        """Everything redeemed while the saboteurs work, then everything asked for once more."""
        try:
            async with asyncio.timeout(PATIENCE_S + self.account.sent / 50):
                async with asyncio.TaskGroup() as together:
                    together.create_task(self._all(self._redeem))
                    for act in sabotage:
                        together.create_task(act(self))
                await self._all(self._again)
        except TimeoutError:
            raise AssertionError(f"expected every ticket acknowledged in time, saw {self.account.text()}") from None
        return self.account

    async def reached(self, share: float) -> None:
        """Returns when this share of the tickets is acknowledged."""
        async with self._moved:
            await self._moved.wait_for(lambda: len(self.account.acknowledged) >= share * self.account.sent)

    async def _all(self, act: Callable[[Line, int], Awaitable[None]]) -> None:
        places = iter(range(len(self._requests)))

        async def client() -> None:
            line = Line(self._port)
            try:
                for place in places:
                    await act(line, place)
            finally:
                line.close()

        async with asyncio.TaskGroup() as clients:
            for _ in range(self._clients):
                clients.create_task(client())

    async def _redeem(self, line: Line, place: int) -> None:
        body = await self._until_201(line, place)
        self.account.acknowledged[place] = body
        async with self._moved:
            self._moved.notify_all()

    async def _again(self, line: Line, place: int) -> None:
        first, again = self.account.acknowledged[place], await self._until_201(line, place)
        if again != first:
            self.account.other_answers.append(f"first {first!r}, then {again!r}")

    async def _until_201(self, line: Line, place: int) -> bytes:
        while True:
            try:
                answer = await line.ask(self._requests[place], timeout_s=self._attempt_s)
            except OSError as failure:
                self.account.answers[type(failure).__name__] += 1
            else:
                self.account.answers[f"{answer.status}{' replayed' if answer.replayed else ''}"] += 1
                if answer.status == 201:
                    return answer.body
                if answer.status == 503:
                    self.account.told_when.append(answer.headers.get("retry-after", ""))
                if answer.status not in PASSING and len(self.account.strange) < 10:
                    self.account.strange.append(f"{answer.status} {answer.body.decode(errors='replace')}")
            await asyncio.sleep(PAUSE_S)


async def settle_accounts(account: Account, pieces: Sequence[Piece], worker_dsn: str) -> str:
    """Compares what clients were told with what the vault holds, as text; raises AssertionError with both."""
    connection = await asyncpg.connect(worker_dsn)
    try:
        ids = [piece.redemption_id for piece in pieces]
        rows = Counter(
            row["credential_id"]
            for row in await connection.fetch(
                "SELECT credential_id FROM vault.redemption WHERE id = ANY($1::uuid[])", ids
            )
        )
        postings = Counter(
            row["id"]
            for row in await connection.fetch(
                "SELECT id FROM vault.journal WHERE op = 3 AND st = 0 AND id = ANY($1::uuid[])", ids
            )
        )
        spare = await connection.fetchval(
            "SELECT count(*) FROM vault.redemption WHERE credential_id = ANY($1::uuid[]) AND NOT id = ANY($2::uuid[])",
            [piece.credential_id for piece in pieces],
            ids,
        )
    finally:
        await connection.close()
    lost = [
        pieces[place].redemption_id
        for place in account.acknowledged
        if not rows[pieces[place].credential_id] or not postings[pieces[place].redemption_id]
    ]
    double = [key for key, count in (rows + postings).items() if count > 1]
    kept = f"rows {sum(rows.values())}, postings {sum(postings.values())}, lost {len(lost)}, double {len(double)}"
    seen = f"saw {account.text()}; {kept}"
    expected = f"expected all {account.sent} in each, lost 0, double 0, only 201 or {sorted(PASSING)}"
    told = f"{seen}; {expected}"
    assert len(account.acknowledged) == account.sent, told
    assert not lost and not double and not spare, told
    assert sum(rows.values()) == sum(postings.values()) == account.sent, told
    assert not account.other_answers, (
        f"{len(account.other_answers)} retries were answered otherwise: {account.other_answers[0]}; {told}"
    )
    assert not account.strange, f"answers that tell no client to try again: {account.strange}; {told}"
    broken = [finding for finding in await prove(worker_dsn) if finding.broken]
    assert not broken, f"check-ledger expected no finding, saw {broken}; {told}"
    return told
