"""One round of each kind: fresh requests or items, the load, and the proof that the vault holds what was answered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from tests.bench.folk import Folk
from tests.bench.ground import Ground, HttpServer, Role, Round
from tests.bench.rivals import RoundInvalid
from tests.support.rawhttp import render
from tests.support.stock import Piece, Stock, redeem_item, scan_item
from wallet.items import Item, Op

#: How much is laid in for a round: what the last round of its kind suggests and more, as that one may have met a busy
#: moment; before the first, so much a second.
GUESS_PER_SECOND, LEAST_PER_SECOND, MARGIN, SPARE = 4000, 2000, 1.8, 1500
REDEEM, VERIFY = "/api/mp/v1/merchant/redemptions", "/api/mp/v1/merchant/verifications"
#: Of the callers in Python: as many lanes as the two HTTP processes have together.
CALLERS, LANES = 64, 2

Start = Callable[[float], Awaitable[Round]]


class Rounds:
    """Knows from earlier rounds how much the next one needs."""

    def __init__(self, ground: Ground, stock: Stock, folk: Folk) -> None:
        self._ground, self._stock, self._folk = ground, stock, folk
        self._rates: dict[str, float] = {}

    def redemptions(self, name: str, server: HttpServer, *, half_of: str | None = None) -> Start:
        """Every ticket once: 201 and no replay. With `half_of`, paced at half the rate of that kind's last round."""

        async def start(seconds: float) -> Round:
            rate = self._rates[half_of] / 2 if half_of else None
            pieces = await self._pieces(name, seconds, claimed=True)
            requests = [
                render("POST", REDEEM, token=piece.till.token, body={"ticket": self._stock.ticket(piece)})
                for piece in pieces
            ]
            since = await self._ground.mark()
            found, answers = await self._ground.http(
                server, requests, seconds, expect="201", contains='"redeemed_at"', rate=rate
            )
            return found | {"batch": await self._counted(name, Op.REDEEM, since, answers, found)}

        return start

    def verifications(self, name: str, server: HttpServer) -> Start:
        """Every code once, at its time: `usable`."""

        async def start(seconds: float) -> Round:
            pieces = await self._pieces(name, seconds, claimed=False)
            unix_s = time.time() + seconds / 2
            requests = [
                render("POST", VERIFY, token=piece.till.token, body={"code": self._stock.code(piece, unix_s)})
                for piece in pieces
            ]
            found, _ = await self._ground.http(server, requests, seconds, expect="200", contains='"usable"')
            self._rates[name] = found["per_second"]
            return found

        return start

    def claims(self, name: str, server: HttpServer, templates: Sequence[int]) -> Start:
        """Claims of these templates in turn, by residents drawn at random."""

        async def start(seconds: float) -> Round:
            requests = self._folk.claims(templates, self._needed(name, seconds))
            since = await self._ground.mark()
            found, answers = await self._ground.http(server, requests, seconds, expect="201", contains='"claimed_at"')
            return found | {"batch": await self._counted(name, Op.CLAIM, since, answers, found)}

        return start

    def empty_route(self, server: HttpServer) -> Start:
        """The route that does nothing: what the framework costs."""

        async def start(seconds: float) -> Round:
            requests = [render("GET", "/healthz")]
            found, _ = await self._ground.http(server, requests, seconds, expect="200", contains="ok", forever=True)
            return found

        return start

    def pgbench_redemptions(self, name: str) -> Start:
        """The same redemptions as single calls."""

        async def start(seconds: float) -> Round:
            pieces = await self._pieces(name, seconds, claimed=True)
            return await self._pgbench(name, [redeem_item(piece) for piece in pieces], Op.REDEEM, seconds)

        return start

    def pgbench_verifications(self, name: str) -> Start:
        """The same verifications as single calls; they write no journal row, so claimed credentials are counted."""

        async def start(seconds: float) -> Round:
            pieces = await self._pieces(name, seconds, claimed=False)
            sql = "SELECT count(*) FROM vault.credential WHERE state = 'claimed'"
            (before,) = await self._ground.row(sql)
            found, calls = await self._ground.pgbench([scan_item(piece) for piece in pieces], seconds)
            (after,) = await self._ground.row(sql)
            if after - before != calls:
                raise RoundInvalid(f"{name}: {calls} calls, {after - before} codes claimed")
            self._rates[name] = found["per_second"]
            return found

        return start

    def pgbench_items(self, name: str, op: Op, make: Callable[[int], list[Item]], role: Role = "app") -> Start:
        """Items as single calls."""

        async def start(seconds: float) -> Round:
            return await self._pgbench(name, make(self._needed(name, seconds)), op, seconds, role)

        return start

    def callers(
        self, name: str, op: Op, make: Callable[[int], list[Item]], role: Role = "app", lanes: int = LANES
    ) -> Start:
        """Items posted by 64 callers in one Python process, through its lanes or one by one."""

        async def start(seconds: float) -> Round:
            items, since = make(self._needed(name, seconds)), await self._ground.mark()
            found, answers = await self._ground.callers(items, seconds, role=role, lanes=lanes, callers=CALLERS)
            await self._counted(name, op, since, answers, found)
            return found

        return start

    async def _pgbench(self, name: str, items: list[Item], op: Op, seconds: float, role: Role = "app") -> Round:
        since = await self._ground.mark()
        found, calls = await self._ground.pgbench(items, seconds, role=role)
        await self._counted(name, op, since, calls, found)
        return found

    async def _counted(self, name: str, op: Op, since: int, answers: int, found: Round) -> float:
        """Items of a call, when the journal has exactly the rows that were answered."""
        booked, batch = await self._ground.booked(op, since)
        if booked != answers:
            raise RoundInvalid(f"{name}: {answers} answers, {booked} rows in the journal")
        self._rates[name] = found["per_second"]
        return batch

    def _needed(self, name: str, seconds: float) -> int:
        rate = self._rates.get(name, GUESS_PER_SECOND) * MARGIN
        return int(max(rate, LEAST_PER_SECOND) * seconds) + SPARE

    async def _pieces(self, name: str, seconds: float, *, claimed: bool) -> list[Piece]:
        return await self._stock.lay_in(self._needed(name, seconds), claimed=claimed)
