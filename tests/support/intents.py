"""Mixed postings by residents who remember what they asked for, and the account of what they were told.

    Resident (books of his own: three sums by plain arithmetic) ──intent──▶ Mixture ──▶ Posters ──▶ vault
                                                                     └── log: written before anything is sent

A resident asks one thing after another and knows from his own books what the answer must be. `settle` then holds the
log against the journal: nothing lost, nothing extra, no answer that differs; wallets, holds, seals and check-ledger.
CHENGXIN_FAULT_REDEMPTIONS sets how many intents a mixture has, two for each redemption.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from server.kit.ids import uuid7, uuid8
from tests.support.databases import Database
from tests.support.ledger import CITY, JOB_KEY, Ledger, open_ledger
from tests.support.posters import Posters, Said
from tests.support.sealing import open_sealed
from tests.support.storm import REDEMPTIONS

INTENTS = 2 * REDEMPTIONS
RESIDENTS = 40
EARNED, PRICE, PAYEE = 60, 10, 77
PLENTY = 10**9
OPS = {"earn": 1, "claim": 2, "spend": 8, "hold": 9, "capture": 10, "release": 11, "refund": 12}
STATUS = {"insufficient_points": 10, "hold_not_found": 50, "refund_too_large": 52}


@dataclass(frozen=True)
class Field:
    """Who posts, under which terms."""

    residents: list[int]
    campaign: int
    template: int
    terms: int
    budgets: tuple[int, ...] = ()

    @classmethod
    async def laid_out(cls, ledger: Ledger, residents: int = RESIDENTS) -> Field:
        budget = await ledger.budget("points", PLENTY)
        campaign = await ledger.campaign(points=EARNED, total=PLENTY, budget=budget, per_person=PLENTY)
        template = await ledger.template(stock=10**6, fen=PLENTY, per_person=PLENTY, price_points=PRICE)
        people = [await ledger.resident() for _ in range(residents)]
        assert template.fen_budget is not None
        return cls(
            people, campaign, template.template_id, template.id, (budget, template.stock_budget, template.fen_budget)
        )

    @classmethod
    async def on(cls, database: Database, residents: int = RESIDENTS) -> Field:
        """Laid out by connections that are closed again before anything is broken."""
        async with open_ledger(database) as ledger:
            return await cls.laid_out(ledger, residents)


@dataclass(frozen=True)
class Intent:
    op: str
    resident: int
    id: UUID
    arguments: dict[str, Any]

    def request(self) -> dict[str, Any]:
        return {"op": self.op, "resident": self.resident, "id": str(self.id), "arguments": self.arguments}


@dataclass
class Resident:
    """One wallet by independent arithmetic. Nothing expires here: the answers do not depend on time."""

    number: int
    field: Field
    chance: random.Random
    ahead: timedelta = timedelta(0)
    points: int = 0
    holds: dict[UUID, int] = field(default_factory=dict)
    over: list[UUID] = field(default_factory=list)
    spent: dict[UUID, int] = field(default_factory=dict)

    def next(self) -> Intent:
        """What he asks for now; sometimes more than he has."""
        op = self.chance.choice(("earn", "claim", "spend", "spend", "hold", "capture", "release", "refund"))
        if op in ("capture", "release") and not self.holds and not self.over:
            op = "hold"
        if op == "refund" and not self.spent:
            op = "spend"
        now = datetime.now(UTC) + self.ahead
        id = uuid8(now, "fault", str(uuid4()), JOB_KEY) if op == "earn" else uuid7(now)
        return Intent(op, self.number, id, self._arguments(op, now))

    def _arguments(self, op: str, now: datetime) -> dict[str, Any]:
        points = self.chance.randrange(1, 50)
        match op:
            case "earn":
                return {"terms_id": self.field.campaign, "earned_on": str(now.astimezone(CITY).date())}
            case "claim":
                return {"template_id": self.field.template, "terms_id": self.field.terms}
            case "spend":
                return {"points": points, "payee": PAYEE}
            case "hold":
                return {"points": points, "payee": PAYEE, "life_s": 86_400}
            case "refund":
                return {"posting_id": self.chance.choice(list(self.spent)), "points": points, "reason": "returned"}
        hold = self.chance.choice([*self.holds, *self.over[-1:]])
        some = self.holds.get(hold, points)
        return {"hold_id": hold} | ({"points": self.chance.randint(1, some)} if op == "capture" else {})

    def book(self, intent: Intent) -> str:
        """Books one intent by his own arithmetic and returns what the vault must say."""
        of = intent.arguments
        points = of.get("points", 0)
        if intent.op == "earn":
            self.points += EARNED
        elif intent.op in ("claim", "spend", "hold"):
            points = PRICE if intent.op == "claim" else points
            if points > self.points:
                return "insufficient_points"
            self.points -= points
            if intent.op == "spend":
                self.spent[intent.id] = points
            elif intent.op == "hold":
                self.holds[intent.id] = points
        elif intent.op == "refund":
            if points > self.spent[of["posting_id"]]:
                return "refund_too_large"
            self.spent[of["posting_id"]] -= points
            self.points += points
        else:
            if of["hold_id"] not in self.holds:
                return "hold_not_found"
            held = self.holds.pop(of["hold_id"])
            self.over.append(of["hold_id"])
            self.points += held - points
            if intent.op == "capture":
                self.spent[intent.id] = points
        return "done"


@dataclass
class Told:
    """What was said to one intent. `first` counts answers that were no replay."""

    intent: Intent
    expected: str
    said: Said
    first: int


class Mixture:
    """`run` lets every resident ask in turn; `reached` tells saboteurs how far it has come."""

    def __init__(
        self,
        field: Field,
        posters: Posters,
        *,
        intents: int = INTENTS,
        seed: int = 1,
        copies: tuple[int, ...] = (1,),
        ahead: timedelta = timedelta(0),
    ) -> None:
        """`copies`: how often an intent is sent at once, one of these. `ahead`: how far the vault's clock is moved."""
        self._posters, self._intents, self._copies = posters, intents, copies
        self._chance = random.Random(seed)
        self.people = [Resident(one, field, random.Random(seed * 1000 + one), ahead) for one in field.residents]
        self.log: list[Intent] = []
        self.told: dict[UUID, Told] = {}
        self.wrong: list[str] = []
        self._moved = asyncio.Condition()

    async def run(self, *sabotage: Callable[[Mixture], Awaitable[None]]) -> None:
        """Everything asked while the saboteurs work, then everything once more."""
        await self.live(*sabotage)
        async with asyncio.TaskGroup() as together:
            for place, person in enumerate(self.people):
                together.create_task(self._again(place, person.number))

    async def live(self, *sabotage: Callable[[Mixture], Awaitable[None]]) -> None:
        """Everything asked while the saboteurs work; once more when it is called again."""
        async with asyncio.TaskGroup() as together:
            for place, person in enumerate(self.people):
                together.create_task(self._live(place, person))
            for act in sabotage:
                together.create_task(act(self))

    async def healed(self) -> set[UUID]:
        """Everything asked once more after answered requests were lost; those that were done now for the first time.
        Each answer must be what was said before, but for the moment."""
        lost: set[UUID] = set()

        async def ask_again(place: int, resident: int) -> None:
            for intent in [one for one in self.log if one.resident == resident]:
                said = await self._posters.ask(place, intent.request())
                if not said.get("replayed"):
                    lost.add(intent.id)
                self._compare(intent, _timeless(self.told[intent.id].said), _timeless(said))

        async with asyncio.TaskGroup() as together:
            for place, person in enumerate(self.people):
                together.create_task(ask_again(place, person.number))
        return lost

    async def reached(self, share: float) -> None:
        """Returns when this share of the intents is answered."""
        async with self._moved:
            await self._moved.wait_for(lambda: len(self.told) >= share * self._intents)

    async def _live(self, place: int, person: Resident) -> None:
        for _ in range(-(-self._intents // len(self.people))):
            intent = person.next()
            self.log.append(intent)
            copies = self._chance.choice(self._copies)
            answers = await asyncio.gather(*(self._posters.ask(place + n, intent.request()) for n in range(copies)))
            expected = person.book(intent)
            first = sum(not said.get("replayed", True) for said in answers)
            self.told[intent.id] = Told(intent, expected, answers[0], first)
            for said in answers:
                self._judge(intent, expected, said)
                self._compare(intent, answers[0], said)
            if "done" in answers[0] and answers[0]["done"]["points_after"] != person.points:
                self.wrong.append(f"{intent}: expected {person.points} points after it, saw {answers[0]}")
            async with self._moved:
                self._moved.notify_all()

    async def _again(self, place: int, resident: int) -> None:
        for intent in [one for one in self.log if one.resident == resident]:
            said = await self._posters.ask(place + 1, intent.request())
            self._compare(intent, self.told[intent.id].said, said)
            if not said.get("replayed"):
                self.wrong.append(f"{intent}: done a second time: {said}")

    def _judge(self, intent: Intent, expected: str, said: Said) -> None:
        seen = "done" if "done" in said else said.get("refused", said.get("strange"))
        if seen != expected:
            self.wrong.append(f"{intent}: expected {expected}, saw {said}")

    def _compare(self, intent: Intent, one: Said, other: Said) -> None:
        if one | {"replayed": None} != other | {"replayed": None}:
            self.wrong.append(f"{intent}: first {one}, then {other}")

    def text(self) -> str:
        heard = ", ".join(f"{what}: {count}" for what, count in sorted(self._posters.heard.items())) or "nothing"
        return f"{len(self.log)} intents, {len(self.told)} answered; sent again after {heard}"


def _timeless(said: Said) -> Said:
    """An answer without when it was."""
    if "done" not in said:
        return said
    return said | {"done": {name: value for name, value in said["done"].items() if name not in ("at", "until")}}


async def settle(mixture: Mixture, database: Database) -> str:
    """Holds what was told against the vault, as text; raises AssertionError with both."""
    told = mixture.text()
    assert not mixture.wrong, f"{len(mixture.wrong)} answers nobody can explain: {mixture.wrong[:3]}; {told}"
    async with open_sealed(database) as sealed:
        owner = sealed.ledger.owner
        residents = [person.number for person in mixture.people]
        rows = await owner.fetch(
            "SELECT owner, id, op, st FROM vault.journal WHERE owner = ANY($1::bigint[])", residents
        )
        kept = sorted((row["owner"], row["id"], row["op"], row["st"]) for row in rows)
        said = sorted(
            (one.intent.resident, one.intent.id, OPS[one.intent.op], STATUS.get(one.expected, 0))
            for one in mixture.told.values()
        )
        lost, extra = sorted(set(said) - set(kept)), sorted(set(kept) - set(said))
        seen = f"lost {len(lost)} {lost[:3]}, extra {len(extra)} {extra[:3]}; {told}"
        assert kept == said and len(said) == len(mixture.log), f"log and journal must be one, saw {seen}"
        wallets = await owner.fetch(
            "SELECT owner, points_avail, points_held FROM vault.wallet WHERE owner = ANY($1::bigint[])", residents
        )
        holds = await owner.fetch("SELECT id, points FROM vault.hold WHERE owner = ANY($1::bigint[])", residents)
        assert {row["owner"]: (row["points_avail"], row["points_held"]) for row in wallets} == {
            person.number: (person.points, sum(person.holds.values())) for person in mixture.people
        }
        assert {row["id"]: row["points"] for row in holds} == {
            hold: points for person in mixture.people for hold, points in person.holds.items()
        }
        await sealed.seal_all()
        report = await sealed.prove()
        assert (report.found, report.unsealed) == ([], 0), f"seals: {report}; {told}"
        assert await sealed.ledger.broken() == [], told
    return f"{told}; lost 0, extra 0, other answers 0"
