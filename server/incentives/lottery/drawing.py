"""What time does to a lottery: it closes, its list is published, it is drawn, its prizes are owed.

    redrive ──closes──► lottery_list ──digest──► (outside number) ──draw_at──► lottery_draw ──secret──► lottery_prizes

Of a second draw lottery_carry comes first. The jobs walk through the entries, or the winners, in pages; a page and the
place where it ended commit together, so a process that dies costs one page and nothing is done twice. Memory is that of
a page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, Final

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.lottery import draw
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import entry_line, prize_counts
from server.incentives.lottery.rows import (
    CARRY_JOB,
    SOURCE,
    entries_after,
    lock,
    owed_as,
    prizes_of,
    record,
    snapshot,
    winners_after,
)
from server.incentives.lottery.second import carry
from server.incentives.lottery.service import purpose_of
from server.kit.clock import Clock
from server.kit.crypto import Envelope
from server.kit.db import fetch, transaction
from server.kit.jobs import Handler, Task, enqueue, save
from server.kit.pace import Stopwatch

log = structlog.get_logger(__name__)

LIST_JOB: Final = "lottery_list"
DRAW_JOB: Final = "lottery_draw"
PRIZES_JOB: Final = "lottery_prizes"
PAGE: Final = 5_000
OWED_PAGE: Final = 200
#: After so long a job lets others have their turn.
TURN_S: Final = 15.0
REDRIVE_LIMIT: Final = 50
_WORST_OF_ALL: Final = "ff" * 33

#: `server.incentives.grants.desk`: owes a resident a coupon, once for each (source, source_id); False when it was owed.
Owe = Callable[[BaseDBAsyncClient, int, int, str, str], Awaitable[bool]]

_CLOSE: Final = (
    "SELECT id FROM lottery WHERE status = 'published' AND closes_at <= vault.now()"
    " AND (second_of IS NULL OR carried_at IS NOT NULL) ORDER BY closes_at LIMIT $1"
)
_DUE: Final = {
    CARRY_JOB: "status = 'published' AND second_of IS NOT NULL AND carried_at IS NULL",
    LIST_JOB: "status = 'closed' AND digest IS NULL",
    DRAW_JOB: "status = 'closed' AND digest IS NOT NULL AND draw_at <= vault.now()"
    " AND (beacon_source = '' OR beacon_confirmed_by IS NOT NULL)",
    PRIZES_JOB: "status = 'drawn' AND owed_at IS NULL",
}
_KEEP: Final = """
INSERT INTO lottery_score (lottery_id, score, code, ticket)
SELECT $1, * FROM unnest($2::bytea[], $3::varchar[], $4::integer[])
"""
_WORST: Final = """
SELECT score FROM lottery_score WHERE lottery_id = $1 ORDER BY score, code OFFSET $2 LIMIT 1
"""
_NEXT_BEST: Final = """
SELECT s.score, s.code, s.ticket, e.resident_id FROM lottery_score s
JOIN lottery_entry e ON e.lottery_id = s.lottery_id AND e.code = s.code
WHERE s.lottery_id = $1 AND (s.score, s.code) > ($2::bytea, $3::varchar COLLATE "C") ORDER BY s.score, s.code LIMIT $4
"""
_WIN: Final = """
INSERT INTO lottery_winner (lottery_id, rank, place, code, ticket, resident_id)
SELECT $1, * FROM unnest($2::integer[], $3::integer[], $4::varchar[], $5::integer[], $6::bigint[])
"""
_FORGET: Final = """
DELETE FROM lottery_score WHERE id IN (SELECT id FROM lottery_score WHERE lottery_id = $1 LIMIT $2) RETURNING id
"""


class DrawService:
    """The worker's part: `redrive` sees what is due, the handlers do it."""

    def __init__(self, *, clock: Clock, envelope: Envelope, owe: Owe) -> None:
        self._clock = clock
        self._envelope = envelope
        self._owe = owe

    def handlers(self) -> dict[str, Handler]:
        """The kinds of job of this room."""
        return {
            CARRY_JOB: self._turns(self._carry_page),
            LIST_JOB: self._turns(self._list_page),
            DRAW_JOB: self._turns(self._draw_page),
            PRIZES_JOB: self._turns(self._owe_page),
        }

    async def redrive(self) -> int:
        """Close what is over by the vault's clock and ask for the jobs that are due; returns how much it did."""
        done = 0
        for row in await fetch(_CLOSE, REDRIVE_LIMIT):
            done += await self._close(row["id"])
        for kind, due in _DUE.items():
            for row in await fetch(f"SELECT id FROM lottery WHERE {due} ORDER BY id LIMIT $1", REDRIVE_LIMIT):  # noqa: S608
                async with transaction() as tx:
                    done += await enqueue(tx, kind, str(row["id"]), {"lottery_id": str(row["id"])})
        return done

    async def _close(self, lottery_id: int) -> bool:
        """Nobody enters from here on. Whoever was entering is waited for: it is in the list."""
        async with transaction() as tx:
            row = await lock(tx, lottery_id, alone=True)
            if row.status != "published" or (row.second_of is not None and row.carried_at is None):
                return False
            before = snapshot(row)
            row.status, row.closed_at = "closed", max(row.closes_at, self._clock.now())
            await self._save(tx, "closed", row, before)
            await enqueue(tx, LIST_JOB, str(lottery_id), {"lottery_id": str(lottery_id)})
        log.info("lottery_closed", lottery_id=lottery_id)
        return True

    def _turns(self, page: Callable[[Lottery, Task], Awaitable[bool]]) -> Handler:
        async def handle(task: Task) -> bool:
            row = await Lottery.get(id=int(task.payload["lottery_id"]))
            watch = Stopwatch()
            while not await page(row, task):
                if watch.s > TURN_S:
                    return False
            return True

        return handle

    # The entries of a second draw

    async def _carry_page(self, row: Lottery, task: Task) -> bool:
        if row.status != "published" or row.second_of is None or row.carried_at is not None:
            return True
        after = task.state.get("after", "")
        page = await entries_after(row.second_of, after, PAGE)
        async with transaction() as tx:
            if page:
                await carry(tx, row, after, page[-1]["code"])
                await self._keep(tx, task, {"after": page[-1]["code"]})
                return False
            await self._keep(tx, task, task.state)
            current = await lock(tx, row.id)
            before = snapshot(current)
            current.carried_at = self._clock.now()
            await self._save(tx, "carried", current, before)
        return True

    # The list

    async def _list_page(self, row: Lottery, task: Task) -> bool:
        if row.status != "closed" or row.digest is not None:
            return True
        state = task.state or {
            "after": "", "link": draw.first_link(row.announcement.encode()).hex(), "entries": 0, "tickets": 0,
        }  # fmt: skip
        page = await entries_after(row.id, state["after"], PAGE)
        lines = [entry_line(entry["code"], entry["tickets"]) for entry in page]
        link = await asyncio.to_thread(draw.next_link, bytes.fromhex(state["link"]), lines)
        async with transaction() as tx:
            if page:
                await self._keep(tx, task, {
                    "after": page[-1]["code"], "link": link.hex(), "entries": state["entries"] + len(page),
                    "tickets": state["tickets"] + sum(entry["tickets"] for entry in page),
                })  # fmt: skip
                return False
            await self._keep(tx, task, state)
            current = await lock(tx, row.id)
            before = snapshot(current)
            current.digest, current.listed_at = link, self._clock.now()
            current.entries, current.tickets = state["entries"], state["tickets"]
            await self._save(tx, "listed", current, before)
            if current.draw_at <= current.listed_at and not current.beacon_source:
                await enqueue(tx, DRAW_JOB, str(row.id), {"lottery_id": str(row.id)})
        log.info("lottery_listed", lottery_id=row.id, entries=state["entries"])
        return True

    # The draw

    async def _draw_page(self, row: Lottery, task: Task) -> bool:
        if row.status != "closed":
            return True
        if task.state.get("phase") == "rank":
            return await self._rank_page(row, task)
        state = task.state or {"after": "", "kept": 0, "worst": _WORST_OF_ALL}
        page = await entries_after(row.id, state["after"], PAGE)
        worst = bytes.fromhex(state["worst"])
        best = await asyncio.to_thread(_candidates, draw.Scores(self._seed(row)), page, worst)
        kept, wanted = state["kept"] + len(best), sum(prize.count for prize in prizes_of(row))
        async with transaction() as tx:
            if not page:
                await self._keep(tx, task, {"phase": "rank", "placed": 0, "score": "", "code": ""})
                return False
            if best:
                await fetch(_KEEP, row.id, *map(list, zip(*best, strict=True)), using=tx)
            if best and kept >= wanted:
                # Who is behind as many as there are prizes cannot win any more and need not be kept.
                worst = (await fetch(_WORST, row.id, wanted - 1, using=tx))[0]["score"]
            await self._keep(tx, task, {"after": page[-1]["code"], "kept": kept, "worst": worst.hex()})
        return False

    async def _rank_page(self, row: Lottery, task: Task) -> bool:
        state = task.state
        left = list(islice(draw.places(prize_counts(prizes_of(row)), state["placed"]), PAGE))
        score = bytes.fromhex(state["score"])
        page = await fetch(_NEXT_BEST, row.id, score, state["code"], len(left)) if left else []
        async with transaction() as tx:
            placed = state["placed"] + len(page)
            last = page[-1] if page else {"score": score, "code": state["code"]}
            await self._keep(tx, task, {
                "phase": "rank", "placed": placed, "score": last["score"].hex(), "code": last["code"]
            })  # fmt: skip
            if page:
                ranks, places = zip(*left[: len(page)], strict=True)
                columns = [[one[name] for one in page] for name in ("code", "ticket", "resident_id")]
                await fetch(_WIN, row.id, list(ranks), list(places), *columns, using=tx)
                return False
            await self._reveal(tx, row.id, placed)
        log.info("lottery_drawn", lottery_id=row.id, winners=placed)
        return True

    async def _reveal(self, tx: BaseDBAsyncClient, lottery_id: int, winners: int) -> None:
        row = await lock(tx, lottery_id)
        before = snapshot(row)
        row.status, row.secret, row.winners = "drawn", self._secret(row), winners
        row.drawn_at = max(row.draw_at, self._clock.now())
        await self._save(tx, "drawn", row, before)
        await enqueue(tx, PRIZES_JOB, str(lottery_id), {"lottery_id": str(lottery_id)})

    def _secret(self, row: Lottery) -> bytes:
        assert row.secret_sealed is not None
        return bytes.fromhex(self._envelope.open(row.secret_sealed, purpose=purpose_of(row.id)))

    def _seed(self, row: Lottery) -> bytes:
        assert row.digest is not None
        return draw.seed_of(self._secret(row), row.digest, row.beacon or "")

    # The prizes

    async def _owe_page(self, row: Lottery, task: Task) -> bool:
        if row.status != "drawn" or row.owed_at is not None:
            return True
        rank, place = task.state.get("rank", 0), task.state.get("place", 0)
        page = await winners_after(row.id, rank, place, OWED_PAGE)
        templates = {prize.rank: int(prize.template_id) for prize in prizes_of(row)}
        async with transaction() as tx:
            for won in page:
                named = owed_as(row.id, won["rank"], won["place"])
                await self._owe(tx, won["resident_id"], templates[won["rank"]], SOURCE, named)
            if page:
                await self._keep(tx, task, {"rank": page[-1]["rank"], "place": page[-1]["place"]})
                return False
            await self._keep(tx, task, task.state)
            if await fetch(_FORGET, row.id, PAGE, using=tx):
                return False
            current = await lock(tx, row.id)
            before = snapshot(current)
            current.owed_at = self._clock.now()
            await self._save(tx, "prizes_owed", current, before)
        return True

    # Rows

    async def _keep(self, tx: BaseDBAsyncClient, task: Task, state: dict[str, Any]) -> None:
        """Raises ClaimLost, and nothing of the page stands, when another process has the job by now."""
        await save(tx, task, state)
        for name, value in state.items():
            task.state[name] = value

    async def _save(self, tx: BaseDBAsyncClient, action: str, row: Lottery, before: dict[str, Any]) -> None:
        row.revision += 1
        row.changed_at = self._clock.now()
        await row.save(using_db=tx)
        await record(tx, action, row, before, None, row.changed_at)


def _candidates(scores: draw.Scores, page: list[dict[str, Any]], worst: bytes) -> list[draw.Scored]:
    """Those of a page whose best score is not behind the worst that may still win."""
    best = (scores.best(entry["code"], entry["tickets"]) for entry in page)
    return [one for one in best if one[0] <= worst]
