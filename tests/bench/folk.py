"""Residents with a session, a token and points, and what they can spend them on; put in place with few statements."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from server.config import Settings
from server.incentives.commands import Signed, TemplateDraft
from server.incentives.limits import Limit
from server.incentives.templates import TemplateService
from server.kit.clock import Clock
from server.kit.db import close_house, open_house
from server.kit.ids import uuid7, uuid8
from server.people.tokens import TokenKeys, sign_access
from tests.support.databases import Database, connected
from tests.support.rawhttp import render
from wallet import EarnTerms, Vault
from wallet.items import Item, Op, bucket_of, intent_hash

FIRST_RESIDENT = 1 << 41
FIRST_TERMS = 1 << 42
TOKEN_S = 6 * 3600
POINTS, PRICE = 1_000_000_000, 10
#: What a template may have at most, and what a resident may claim of it.
STOCK, PER_PERSON = 5_000_000, 10_000
JOB_KEY = b"job key of the bench, 32 bytes.."
PAYEE = 77
CLAIM = "/api/mp/v1/coupons"

ROWS = (
    """INSERT INTO resident (id, id_number_hmac, id_number_sealed, name_sealed, bound_at)
       SELECT n, sha256(('r' || n)::bytea), decode(repeat('00', 40), 'hex'), decode(repeat('00', 40), 'hex'), now()
       FROM unnest($1::bigint[]) n""",
    """INSERT INTO identity (id, provider, subject_hmac, subject_sealed, resident_id, created_at, last_login_at,
         bound_at)
       SELECT n, 'wechat', sha256(('i' || n)::bytea), '\\x00', n, now(), now(), now() FROM unnest($1::bigint[]) n""",
    "INSERT INTO vault.wallet (b, owner) SELECT n & 1023, n FROM unnest($1::bigint[]) n ON CONFLICT DO NOTHING",
)
SESSIONS = """
  INSERT INTO session (id, aud, subject, identity_id, extra_claims, kid, salt, generation, created_at, expires_at)
  SELECT s, 'resident', n::text, n, '{}', $3, sha256(n::text::bytea), 0, now(), now() + interval '1 day'
  FROM unnest($1::bigint[], $2::uuid[]) x (n, s)"""


@dataclass(frozen=True, slots=True)
class Someone:
    """A resident who is logged in, bound, and has points."""

    id: int
    token: str


class Folk:
    """The people of a bench; `terms` earn one point, `hot` and `spread` are free coupons, `exchange` costs points,
    `counter` is five yuan off at any counter."""

    def __init__(self, people: Sequence[Someone], terms: int, templates: dict[int, int]) -> None:
        self.people = list(people)
        self.terms, self._terms_of = terms, templates
        self.counter, self.exchange, self.hot, *self.spread = templates
        self._chance = random.Random(3)

    @classmethod
    async def settle(cls, database: Database, settings: Settings, owners: Sequence[int], *, spread: int = 64) -> Folk:
        """Sessions, points and templates for these residents; their wallets may exist already."""
        people = await settle_people(database, settings, owners)
        terms = await _points(database, owners)
        return cls(people, terms, await _templates(settings, spread))

    def claims(self, templates: Sequence[int], count: int) -> list[bytes]:
        """Requests that claim these templates in turn, each by somebody drawn at random."""
        turn = itertools.cycle(templates)
        return [
            render(
                "POST", CLAIM, token=who.token, body={"template_id": str(next(turn))},
                headers={"Idempotency-Key": str(id)},
            )
            for who, id in self._draw(count)
        ]  # fmt: skip

    def claim_items(self, template: int, count: int) -> list[Item]:
        """The same claims as the house would post them."""
        terms = self._terms_of[template]
        return [
            _item(Op.CLAIM, who.id, id, intent_hash(f"resident:{who.id}", "claim", template), terms=terms)
            for who, id in self._draw(count)
        ]

    def grant_items(self, count: int) -> list[Item]:
        """Coupons of the hot template that the house gives, as the worker does."""
        now, terms = datetime.now(UTC), self._terms_of[self.hot]
        made = []
        for who, id in self._draw(count):
            source = f"bench:{id}"
            hash = intent_hash("job", "grant", self.hot, source)
            made.append(_item(Op.CLAIM, who.id, uuid8(now, "bench", source, JOB_KEY), hash, terms=terms, reason=source))
        return made

    def spend_items(self, count: int, owners: Sequence[int] = ()) -> list[Item]:
        """Spending a point each, by these people or by any of `owners`."""
        now = datetime.now(UTC)
        drawn = self._chance.choices(owners or [who.id for who in self.people], k=count)
        return [
            _item(Op.SPEND, one, uuid7(now), intent_hash(f"resident:{one}", "spend", 1, PAYEE), points=1, payee=PAYEE)
            for one in drawn
        ]

    def earn_items(self, count: int) -> list[Item]:
        """Earning what the terms give, as the worker does."""
        now = datetime.now(UTC)
        hash = intent_hash("job", "earn", self.terms, now.date())
        ids = ((who, uuid8(now, "bench", str(id), JOB_KEY)) for who, id in self._draw(count))
        return [_item(Op.EARN, who.id, id, hash, terms=self.terms, earned_on=now.date()) for who, id in ids]

    def _draw(self, count: int) -> Iterator[tuple[Someone, UUID]]:
        now = datetime.now(UTC)
        return ((who, uuid7(now)) for who in self._chance.choices(self.people, k=count))


async def settle_people(database: Database, settings: Settings, owners: Sequence[int]) -> list[Someone]:
    """Residents with a session and a wallet."""
    keys, now = TokenKeys.of(settings.signing_keys), datetime.now(UTC)
    sids = [uuid7(now) for _ in owners]
    async with connected(database.owner) as connection:
        await connection.execute("SET statement_timeout = 0")
        for statement in ROWS:
            await connection.execute(statement, list(owners))
        await connection.execute(SESSIONS, list(owners), sids, keys.current)
    return [
        Someone(owner, sign_access(
            keys, aud="resident", subject=str(owner), session_id=sid, extra={}, now=now, ttl_s=TOKEN_S)[0])
        for owner, sid in zip(owners, sids, strict=True)
    ]  # fmt: skip


def _item(op: Op, owner: int, id: UUID, hash: str, **fields: object) -> Item:
    return Item(op, n=0, b=bucket_of(owner), owner=owner, id=id, hash=hash, **fields)  # type: ignore[arg-type]


async def _points(database: Database, owners: Sequence[int]) -> int:
    """Gives everybody points as a campaign does; returns terms that earn one point."""
    worker = await Vault.connect(database.worker, role="worker", pool_max=2)
    try:
        now, budget = datetime.now(UTC), FIRST_TERMS
        await worker.create_budget(budget, "points")
        await worker.budget_entry(budget, uuid7(now), "topup", 4 * POINTS * max(len(owners), 1000), 1, 2, "bench")
        await worker.open_budget(budget)
        for terms, points in ((FIRST_TERMS, POINTS), (FIRST_TERMS + 1, 1)):
            await worker.put_earn_terms(EarnTerms(id=terms, points_budget=budget, points=points))
        for begin in range(0, len(owners), 512):
            await asyncio.gather(
                *(
                    worker.earn(owner, uuid8(now, "bench", f"start:{owner}", JOB_KEY), FIRST_TERMS, now.date())
                    for owner in owners[begin : begin + 512]
                )
            )
        return FIRST_TERMS + 1
    finally:
        await worker.close()


async def _templates(settings: Settings, spread: int) -> dict[int, int]:
    """For the counter, for points, hot, and many others. The terms by template."""
    counter = {"kind": "amount_off", "stock": 10, "face_value_fen": 500}
    return await new_templates(settings, counter, {"price_points": PRICE}, *[{}] * (1 + spread))


async def new_templates(settings: Settings, *changes: dict[str, Any]) -> dict[int, int]:
    """Templates made, reviewed and approved as administrators do; the terms by template."""
    await open_house(settings.database_url)
    app = await Vault.connect(settings.database_url, role="app", pool_max=2)
    try:
        clock = Clock(settings.city_zone)
        service, made = TemplateService(vault=app, clock=clock), {}
        plain = TemplateDraft(
            "性能测试券", "bench", "exchange", clock.now() - timedelta(days=1),
            clock.now() + timedelta(days=300), STOCK, limits=(Limit(PER_PERSON, "issue"),),
        )  # fmt: skip
        for change in changes:
            view = await service.create(replace(plain, **change), Signed(1, "bench"))
            await service.submit(view.row.id, Signed(1, "bench"))
            await service.approve(view.row.id, Signed(2, "bench"))
            made[view.row.id] = view.version.id
        return made
    finally:
        await app.close()
        await close_house()
