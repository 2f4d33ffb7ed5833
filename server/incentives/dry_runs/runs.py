"""Dry runs, page by page: facts in the order in which they were told are judged, and the meter says what becomes of it.

Nothing is given and nothing is told to the ledger. A page is read and judged first and then written in one transaction
that holds the run where it was, so that a request and a job, or two jobs, never count a page twice. The versions of
what is judged, its limits and the amounts of its budgets are those of the order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.budgets import BudgetService
from server.incentives.campaigns import CAMPAIGNS
from server.incentives.commands import Signed
from server.incentives.counting import midnight
from server.incentives.dry_runs.errors import DryRunNotFound, NothingToJudge
from server.incentives.dry_runs.meter import Amounts, Cap, Meter, Person, Totals
from server.incentives.dry_runs.models import DryRun
from server.incentives.effects import most_fen, worth_fen
from server.incentives.experiments.withholding import Withholding
from server.incentives.forgetting import forgotten_before
from server.incentives.judging import Happened, Judge, Offer, happened
from server.incentives.models import Budget, Campaign, CampaignVersion, CouponTemplate, CouponTemplateVersion
from server.incentives.rows import Rows
from server.incentives.rules import Decision, Rule
from server.incentives.rules.language import GiveCoupon, GiveFreeMinutes, GiveLotteryTickets
from server.incentives.rules.needs import kind_of
from server.kit import audit
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.jobs import Task, enqueue

#: The kind of the worker's job; its key is the run's id.
KIND: Final = "dry_run"
PAGE: Final = 500
MAX_DAYS: Final = 92
#: How long the request that orders a run works at it; the job goes on from there.
AT_ONCE_S: Final = 2.0
#: How long one turn of the job lasts before other jobs have theirs.
TURN_S: Final = 5.0
#: A run that nobody finished is forgotten.
ABANDONED: Final = timedelta(days=7)

_BOUNDS = """
SELECT coalesce(min(id), 1) AS first, coalesce(max(id), 0) AS last, count(*) AS facts FROM fact
WHERE kind = $1 AND occurred_at >= $2 AND occurred_at < $3
"""
_FACTS = """
SELECT id, resident_id, kind, occurred_at, attributes FROM fact
WHERE id > $1 AND id <= $2 AND kind = $3 AND occurred_at >= $4 AND occurred_at < $5 ORDER BY id LIMIT $6
"""
_GIVEN = """
SELECT a.fact_id, a.resident_id, a.points, a.held_out, a.status, f.occurred_at
FROM (SELECT fact_id, resident_id, points, held_out, status FROM award WHERE campaign_id = $1 AND fact_id > $2
      ORDER BY fact_id LIMIT $3) a JOIN fact f ON f.id = a.fact_id ORDER BY a.fact_id
"""
_BEGAN = "SELECT min(starts_at) AS at FROM campaign_version WHERE campaign_id = $1 AND live_at IS NOT NULL"
_PEOPLE = "SELECT resident_id, state::text AS state FROM dry_run_person WHERE run_id = $1 AND resident_id = ANY($2)"
_KEEP = """
INSERT INTO dry_run_person (run_id, resident_id, state)
SELECT $1, u.id, u.state::jsonb FROM unnest($2::bigint[], $3::text[]) u (id, state)
ON CONFLICT (run_id, resident_id) DO UPDATE SET state = excluded.state
"""
_FORGET = """
DELETE FROM dry_run_person WHERE (run_id, resident_id) IN (
  SELECT p.run_id, p.resident_id FROM dry_run_person p LEFT JOIN dry_run r ON r.id = p.run_id
  WHERE r.id IS NULL OR r.status = 'done' LIMIT $1) RETURNING 1
"""


class Content(msgspec.Struct, frozen=True):
    """What a run judges by, as it stood at the order. `worth_fen`, `cost_fen`: of the coupon that the rule gives."""

    rule: dict[str, Any]
    hold_out: dict[str, Any] | None
    began_at: datetime
    caps: tuple[Cap, ...]
    first_fact: int
    worth_fen: int = 0
    cost_fen: int = 0


@dataclass(frozen=True, slots=True)
class Days:
    """City days, both included; by default the last calendar month."""

    first: date | None = None
    last: date | None = None

    def within(self, today: date) -> tuple[date, date]:
        """The days themselves. Raises InvalidField for days that are not over or too many."""
        month_end = today.replace(day=1) - timedelta(days=1)
        first = self.first or month_end.replace(day=1)
        last = self.last or (month_end if self.first is None else min(today, first + timedelta(days=MAX_DAYS - 1)))
        if not date(2000, 1, 1) <= first <= today:
            raise InvalidField(field="first_day")
        if not first <= last <= today or (last - first).days >= MAX_DAYS:
            raise InvalidField(field="last_day")
        return first, last


@dataclass(frozen=True, slots=True)
class _Award:
    resident_id: int
    day: date
    town: str | None
    amounts: Amounts
    held_out: bool


@dataclass(frozen=True, slots=True)
class _Page:
    awards: list[_Award]
    position: int
    last: bool


class DryRuns:
    """Orders runs, does them, reads them."""

    def __init__(self, *, clock: Clock, budgets: BudgetService, withholding: Withholding, page: int = PAGE) -> None:
        self._clock, self._budgets, self._withholding, self._page = clock, budgets, withholding, page
        self._judge, self._rows = Judge(clock), Rows(CAMPAIGNS, clock)

    async def order(self, campaign_id: int, number: int | None, days: Days, signed: Signed) -> DryRun:
        """Begin a run of a version, by default the one that is worked on, else the one that stands for the campaign;
        done when it is short. Raises CampaignNotFound, VersionNotFound, InvalidField, NothingToJudge."""
        row = await self._rows.find(campaign_id)
        version = await (self._rows.version(row, number) if number is not None else self._standing(row))
        first, last = days.within(self._clock.today())
        forgotten = await forgotten_before()
        if forgotten is not None and self._instants(first, last)[0] < forgotten:
            raise InvalidField(field="first_day")
        kind = kind_of(msgspec.convert(version.rule, Rule))
        if kind == "date":
            raise NothingToJudge
        (bounds,) = await fetch(_BOUNDS, kind, *self._instants(first, last))
        content, totals = await self._content(row, version, first, bounds["first"])
        width = bounds["last"] - bounds["first"] + 1
        async with transaction() as tx:
            run = await DryRun.create(
                using_db=tx, campaign_id=campaign_id, version_id=version.id, number=version.number, first_day=first,
                last_day=last, content=msgspec.to_builtins(content), state=_plain(totals), last_fact=bounds["last"],
                span=max(self._page, 4 * self._page * width // max(1, bounds["facts"])), ordered_by=signed.admin_id,
                ordered_at=self._clock.now(),
            )  # fmt: skip
            await audit.record(
                tx, actor=signed.actor, action="campaign.dry_run", object_kind="campaign", object_id=str(campaign_id),
                before=None, after={"dry_run": str(run.id), "version": version.number, "first_day": first.isoformat(),
                                    "last_day": last.isoformat(), "rule": version.rule},
                at=self._clock.now(), request_id=signed.request_id,
            )  # fmt: skip
            due_at = datetime.now(UTC) + timedelta(seconds=AT_ONCE_S)
            await enqueue(tx, KIND, str(run.id), {"run_id": str(run.id)}, due_at=due_at)
        await self._work(run.id, AT_ONCE_S)
        return await self.get(run.id)

    async def walk(self, task: Task) -> bool:
        """The worker's turn at one run. True: nothing is left to do."""
        return await self._work(int(task.payload["run_id"]), TURN_S)

    async def get(self, run_id: int) -> DryRun:
        """One run as it stands. Raises DryRunNotFound."""
        run = await DryRun.get_or_none(id=run_id)
        if run is None:
            raise DryRunNotFound
        return run

    async def of_campaign(self, campaign_id: int, limit: int = 20) -> list[DryRun]:
        """The newest runs of a campaign. Raises CampaignNotFound."""
        await self._rows.find(campaign_id)
        return await DryRun.filter(campaign_id=campaign_id).order_by("-id").limit(limit)

    async def purge(self, limit: int) -> int:
        """For the worker: forget who was met by runs that are over; returns how many rows."""
        await DryRun.filter(status="running", ordered_at__lt=self._clock.now() - ABANDONED).delete()
        return len(await fetch(_FORGET, limit))

    async def _work(self, run_id: int, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not (done := await self.step(run_id)) and time.monotonic() < until:
            pass
        return done

    async def step(self, run_id: int) -> bool:
        """Do one page; whether the run is over."""
        run = await DryRun.get_or_none(id=run_id)
        if run is None or run.status == "done":
            return True
        content = msgspec.convert(run.content, Content)
        page = await (self._before if run.phase == "before" else self._facts)(run, content)
        async with transaction() as tx:
            row = await DryRun.filter(id=run_id).using_db(tx).select_for_update(no_key=True).first()
            if row is None or (row.status, row.phase, row.position) != (run.status, run.phase, run.position):
                return row is None or row.status == "done"
            await self._meet(tx, row, content, page.awards)
            row.position = page.position
            if page.last and row.phase == "before":
                row.phase, row.position = "facts", content.first_fact - 1
            elif page.last:
                row.status, row.finished_at = "done", self._clock.now()
            await row.save(using_db=tx)
        return row.status == "done"

    async def _meet(self, tx: BaseDBAsyncClient, run: DryRun, content: Content, awards: Sequence[_Award]) -> None:
        ids = sorted({award.resident_id for award in awards})
        known = {
            row["resident_id"]: msgspec.json.decode(row["state"], type=Person)
            for row in (await fetch(_PEOPLE, run.id, ids, using=tx) if ids else [])
        }
        people = {one: known.get(one) or Person() for one in ids}
        meter = Meter(content.caps, msgspec.convert(run.state, Totals, str_keys=True))
        for award in awards:
            person, amounts = people[award.resident_id], award.amounts
            measures = {
                "count": 1, "points": amounts.points, "face_value_fen": content.worth_fen, "fen": content.cost_fen,
            }  # fmt: skip
            if run.phase == "before":
                meter.remember(person, award.day, award.town, amounts, measures, run.first_day, held_out=award.held_out)
            else:
                meter.meet(person, award.day, award.town, amounts, measures, award.held_out)
        if ids:
            states = [msgspec.json.encode(people[one]).decode() for one in ids]
            await tx.execute_query(_KEEP, [run.id, ids, states])
        run.state = _plain(meter.totals)

    async def _facts(self, run: DryRun, content: Content) -> _Page:
        """The next facts, judged."""
        kind = kind_of(msgspec.convert(content.rule, Rule))
        high = min(run.position + run.span, run.last_fact)
        days = self._instants(run.first_day, run.last_day)
        facts = [happened(row) for row in await fetch(_FACTS, run.position, high, kind, *days, self._page)]
        position = facts[-1].id if len(facts) == self._page else high
        # A draft's rule may change under its id: the run's own number is what its rule is remembered by.
        offer = Offer(run.campaign_id, -run.id, content.rule, [], 1, content.began_at, content.hold_out)
        decided = zip(facts, await self._judge.decide_all([(fact, offer) for fact in facts]), strict=True)
        granted = [(fact, decision) for fact, decision in decided if decision.granted]
        towns = await self._towns([fact for fact, _ in granted], content)
        awards = [
            _Award(
                fact.resident_id, self._judge.day_of(fact), towns.get(fact.id), _amounts(decision, content),
                self._withholding.applies(offer, fact.resident_id),
            )
            for fact, decision in granted
        ]  # fmt: skip
        return _Page(awards, position, position >= run.last_fact)

    async def _before(self, run: DryRun, content: Content) -> _Page:
        """The next awards of before the first day: what they used up is not there any more."""
        rows = await fetch(_GIVEN, run.campaign_id, run.position, self._page)
        since, _ = self._instants(run.first_day, run.last_day)
        given = [row for row in rows if row["status"] != "refused" and row["occurred_at"] < since]
        facts = [Happened(row["fact_id"], row["resident_id"], None, row["occurred_at"], {}) for row in given]
        towns = await self._towns(facts, content)
        awards = [
            _Award(
                fact.resident_id, self._judge.day_of(fact), towns.get(fact.id), Amounts(1, row["points"]),
                row["held_out"],
            )
            for fact, row in zip(facts, given, strict=True)
        ]  # fmt: skip
        return _Page(awards, rows[-1]["fact_id"] if rows else run.position, len(rows) < self._page)

    async def _towns(self, facts: list[Happened], content: Content) -> dict[int, str | None]:
        """By fact, where its resident lived then; nobody is looked up when no limit asks."""
        if not facts or all(cap.scope != "town" for cap in content.caps):
            return {}
        people = await self._judge.profiles(facts)
        found = {fact.id: people.get((fact.resident_id, self._judge.day_of(fact))) for fact in facts}
        return {fact_id: person.town for fact_id, person in found.items() if person is not None}

    async def _standing(self, row: Campaign) -> CampaignVersion:
        return await self._rows.open_version(row) or await self._rows.shown(row)

    async def _content(
        self, row: Campaign, version: CampaignVersion, first: date, first_fact: int
    ) -> tuple[Content, Totals]:
        rule = msgspec.convert(version.rule, Rule)
        left, caps, terms = await self._points(row), _caps("campaign", "earn", version.limits), None
        if isinstance(rule.effect, GiveCoupon):
            template = await CouponTemplate.get(id=int(rule.effect.template_id))
            terms = await CouponTemplateVersion.filter(template_id=template.id, status="live").first()
            states = await self._budgets.states(await Budget.filter(template_id=template.id))
            left = {state.unit: state.left for state in states} if terms is not None else {}
            caps += _caps("coupon", "issue", terms.limits) if terms is not None else ()
        since, _ = self._instants(first, first)
        began: datetime | None = (await fetch(_BEGAN, row.id))[0]["at"]
        content = Content(
            version.rule, version.hold_out, since if began is None else min(began, since), caps, first_fact,
            0 if terms is None else worth_fen(terms), 0 if terms is None else most_fen(terms),
        )  # fmt: skip
        return content, Totals(left=left)

    async def _points(self, row: Campaign) -> dict[str, int]:
        """The budget of points from its beginning; what was given before the first day is taken off page by page."""
        states = await self._budgets.states(await Budget.filter(campaign_id=row.id))
        return {state.unit: state.planned if row.live_version is None else state.total for state in states}

    def _instants(self, first: date, last: date) -> tuple[datetime, datetime]:
        since, until = midnight(first, self._clock.zone), midnight(last + timedelta(days=1), self._clock.zone)
        assert since is not None and until is not None
        return since, until


def _caps(name: str, action: str, limits: list[dict[str, Any]]) -> tuple[Cap, ...]:
    return tuple(
        Cap(name, one["scope"], one["measure"], one["period"], one["cap"]) for one in limits if one["action"] == action
    )


def _amounts(decision: Decision, content: Content) -> Amounts:
    match decision.rule.effect:
        case GiveCoupon():
            return Amounts(1, coupons=1, fen=content.cost_fen)
        case GiveFreeMinutes(minutes=minutes):
            return Amounts(1, free_minutes=minutes)
        case GiveLotteryTickets(tickets=tickets):
            return Amounts(1, lottery_tickets=tickets)
        case _:
            return Amounts(1, decision.points)


def _plain(totals: Totals) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(totals, str_keys=True)
    return plain
