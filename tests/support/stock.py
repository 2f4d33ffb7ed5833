"""Many residents with one coupon each, put into the vault with a few set-based statements; tickets and codes for them.

What it writes is what the vault's functions would have written, so check-ledger stays green: a top-up, and for each
resident a wallet, a claim with its slots, a coupon, an allowance and a credential that is open or claimed by a
given terminal.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from server.config import Settings, secret_bytes
from server.kit.crypto import Keyring
from server.sandbox.phone import CounterPhone
from server.scenes.tickets import Ticket, TicketOffice
from tests.support.town import Town
from wallet import Acceptor, Op
from wallet.credentials import code_of, seed_of
from wallet.items import Item, bucket_of, intent_hash

FIRST_OWNER = 1 << 40
#: Odd and no multiple of 5: n * HANDLE_STEP mod 10^10 meets no handle twice.
HANDLE_STEP = 3_141_592_653
LASTS = timedelta(hours=12)
EDITOR, APPROVER = 1, 2
MARKET, MARKET_TEMPLATE = "暨阳惠民超市（示例）", "惠民超市五元券"
COLUMNS = (
    "k",
    "owner",
    "coupon",
    "credential",
    "redemption",
    "void",
    "handle",
    "merchant",
    "store",
    "terminal",
    "staff",
)

PUT = (
    "CREATE TEMP TABLE stock (k bigint, owner bigint, coupon uuid, credential uuid, redemption uuid, void uuid, "
    "handle bigint, merchant bigint, store bigint, terminal bigint, staff bigint) ON COMMIT DROP",
)
FILL = (
    """INSERT INTO vault.wallet (b, owner, seq) SELECT owner & 1023, owner, 1 FROM stock
       ON CONFLICT (b, owner) DO UPDATE SET seq = vault.wallet.seq + 1""",
    """INSERT INTO vault.journal (b, owner, id, seq, op, st, c_stock, c_out, c_used, c_gone, f_budget, f_reserved,
         f_payable,
         peer, avail_after, held_after, terms, takes, detail, hash, at)
       SELECT s.owner & 1023, s.owner, s.coupon, w.seq, 2, 0, -1, 1, 0, 0, -p.reserved, p.reserved,
         CASE WHEN p.reserved IS NOT NULL THEN 0 END, t.template, w.points_avail, w.points_held, t.terms,
         jsonb_build_array(jsonb_build_array(t.stock_budget, CASE WHEN p.gathered_a THEN 0 ELSE s.k % p.slots_a END, 1))
           || CASE WHEN p.reserved IS NULL THEN '[]'::jsonb ELSE jsonb_build_array(jsonb_build_array(t.fen_budget,
                CASE WHEN p.gathered_b THEN 0 ELSE s.k % p.slots_b END, p.reserved)) END,
         jsonb_build_object('coupon_id', s.coupon, 'template_id', t.template, 'price_points', 0,
         'usable_from', vault.today(), 'expires_on', p.expires_on),
         sha256(uuid_send(s.coupon)), vault.now()
       FROM stock s JOIN vault.wallet w ON w.b = s.owner & 1023 AND w.owner = s.owner, plan p, vault.coupon_terms t
       WHERE t.terms = p.terms""",
    """INSERT INTO vault.coupon (b, owner, id, terms, state, expires_on, reserved_fen, issued_at)
       SELECT s.owner & 1023, s.owner, s.coupon, p.terms, 'issued', p.expires_on, coalesce(p.reserved, 0), vault.now()
       FROM stock s, plan p""",
    """INSERT INTO vault.allowance (b, owner, limit_id, period_start, used)
       SELECT s.owner & 1023, s.owner, l.limit_id, 'epoch', 1
       FROM stock s, plan p, vault.coupon_terms t, unnest(t.person_limits) l WHERE t.terms = p.terms
       ON CONFLICT (b, owner, limit_id, period_start) DO UPDATE SET used = vault.allowance.used + 1""",
    """INSERT INTO vault.credential_handle
       SELECT handle, owner & 1023, owner, credential, p.until FROM stock, plan p""",
    """INSERT INTO vault.credential (b, id, owner, epoch, coupon_id, handle, state, issued_at, expires_at,
         merchant_id, store_id,
         terminal_id, staff_id, claimed_at, redemption_id, void_id)
       SELECT s.owner & 1023, s.credential, s.owner, 0, s.coupon, s.handle,
         CASE WHEN p.claimed THEN 'claimed' ELSE 'open' END,
         vault.now(), p.until, CASE WHEN p.claimed THEN s.merchant END, CASE WHEN p.claimed THEN s.store END,
         CASE WHEN p.claimed THEN s.terminal END, CASE WHEN p.claimed THEN s.staff END,
         CASE WHEN p.claimed THEN vault.now() END,
         CASE WHEN p.claimed THEN s.redemption END, CASE WHEN p.claimed THEN s.void END
       FROM stock s, plan p""",
    """UPDATE vault.slot x SET avail = avail - y.amount
       FROM (SELECT (t ->> 0)::bigint AS budget, (t ->> 1)::smallint AS slot, sum((t ->> 2)::bigint) AS amount
             FROM stock s JOIN vault.journal j ON j.b = s.owner & 1023 AND j.owner = s.owner AND j.id = s.coupon,
                  jsonb_array_elements(j.takes) t GROUP BY 1, 2) y
       WHERE x.budget = y.budget AND x.slot = y.slot""",
)


@dataclass(frozen=True, slots=True)
class Till:
    """One staff phone at one store: who accepts, and the token that says so."""

    acceptor: Acceptor
    token: str

    @classmethod
    def of(cls, phone: CounterPhone) -> Till:
        token = phone.headers["Authorization"].removeprefix("Bearer ")
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return cls(Acceptor(int(claims["mid"]), int(claims["store"]), int(claims["term"]), int(claims["staff"])), token)


@dataclass(frozen=True, slots=True)
class Piece:
    """One coupon of one resident, with its credential. When the credential is claimed, it is for `till`."""

    owner: int
    credential_id: UUID
    redemption_id: UUID
    void_id: UUID
    handle: int
    till: Till


class Stock:
    """Lays in coupons of one template that costs no points and needs no order amount."""

    def __init__(
        self,
        owner_dsn: str,
        settings: Settings,
        template_id: int,
        tills: Sequence[Till],
        owners: Sequence[int] | None = None,
    ) -> None:
        """`owners`: whose coupons they are, drawn at random; by default residents that did not exist before."""
        self._dsn, self._template, self._tills = owner_dsn, template_id, list(tills)
        self._tickets = TicketOffice(Keyring.parse(settings.ticket_keys))
        self._key, self._prefix, self._zone = (
            secret_bytes(settings.credential_key),
            settings.code_prefix,
            settings.city_zone,
        )
        self._numbers, self._owners, self._chance = itertools.count(), owners, random.Random(5)

    async def lay_in(self, count: int, *, claimed: bool) -> list[Piece]:
        """`count` fresh pieces, claimed by the tills in turn, or open; no resident twice before all had one."""
        at_once = count if self._owners is None else len(self._owners)
        pieces: list[Piece] = []
        while len(pieces) < count:
            pieces += await self._lay_in(min(at_once, count - len(pieces)), claimed)
        return pieces

    async def _lay_in(self, count: int, claimed: bool) -> list[Piece]:
        drawn = None if self._owners is None else self._chance.sample(self._owners, count)
        fresh = _uuid7s(count * 4)
        pieces, rows = [], []
        for k in range(count):
            number, till = next(self._numbers), self._tills[k % len(self._tills)]
            coupon, credential, redemption, void = fresh[4 * k : 4 * k + 4]
            owner = FIRST_OWNER + number if drawn is None else drawn[k]
            handle, who = (number + 1) * HANDLE_STEP % 10**10, till.acceptor
            pieces.append(Piece(owner, credential, redemption, void, handle, till))
            rows.append(
                (
                    k,
                    owner,
                    coupon,
                    credential,
                    redemption,
                    void,
                    handle,
                    who.merchant_id,
                    who.store_id,
                    who.terminal_id,
                    who.staff_id,
                )
            )
        connection = await asyncpg.connect(self._dsn, server_settings={"statement_timeout": "0"})
        try:
            async with connection.transaction():
                await self._plan(connection, count, claimed)
                for statement in PUT:
                    await connection.execute(statement)
                await connection.copy_records_to_table("stock", records=rows, columns=COLUMNS)
                await connection.execute("ANALYZE stock")
                for statement in FILL:
                    await connection.execute(statement)
        finally:
            await connection.close()
        return pieces

    async def _plan(self, connection: asyncpg.Connection, count: int, claimed: bool) -> None:
        """Tops budgets up by twice what is taken, as half of one lies in reserve, and notes how to take it."""
        terms = await connection.fetchrow(
            "SELECT t.*, vault.most_paid(t) AS paid FROM vault.coupon_terms t"
            " WHERE template = $1 ORDER BY version DESC LIMIT 1",
            self._template,
        )
        assert terms is not None and terms["price_points"] == 0, "the stock needs a template that costs no points"
        reserved = terms["paid"] if terms["fen_budget"] and terms["paid"] else None
        for budget, amount in ((terms["stock_budget"], 1), (terms["fen_budget"] if reserved else None, reserved or 0)):
            if budget is not None:
                said = await connection.fetchval(
                    "SELECT vault.put_budget_entry($1, $2, 'topup', $3, $4, $5, 'stock for a test')",
                    budget,
                    _uuid7s(1)[0],
                    (2 * count + 1000) * amount,
                    EDITOR,
                    APPROVER,
                )
                assert said == "done", f"top-up: {said}"
        await connection.execute(
            "CREATE TEMP TABLE plan (terms bigint, reserved bigint, claimed boolean, until timestamptz, "
            "expires_on date, slots_a integer, gathered_a boolean, slots_b integer, gathered_b boolean) ON COMMIT DROP"
        )
        await connection.execute(
            """INSERT INTO plan SELECT t.terms, $2, $3, $4,
                 least(vault.today() + greatest(t.valid_days, 1), t.valid_until),
                 a.slots, a.gathered, coalesce(f.slots, 1), coalesce(f.gathered, false)
               FROM vault.coupon_terms t JOIN vault.budget a ON a.budget = t.stock_budget
               LEFT JOIN vault.budget f ON f.budget = t.fen_budget WHERE t.terms = $1""",
            terms["terms"],
            reserved,
            claimed,
            datetime.now(UTC) + LASTS,
        )

    def ticket(self, piece: Piece) -> str:
        """What a verification would have answered."""
        return self._tickets.seal(
            Ticket(piece.owner, piece.credential_id, piece.redemption_id, datetime.now(UTC) + LASTS)
        )

    def code(self, piece: Piece, unix_s: float) -> str:
        """The 20 digits that the resident's phone shows at `unix_s`; the handle is of today."""
        day = datetime.now(ZoneInfo(self._zone)).date()
        return code_of(self._prefix, piece.handle, seed_of(self._key, day, piece.handle), unix_s)


async def market_stock(town: Town, owners: Sequence[int] | None = None, template: int | None = None) -> Stock:
    """Stock of the town's market: an owner's phone at each of its stores, a coupon without points or threshold."""
    tills = [Till.of(await town.counter(name, "owner")) for name in town.stores if name.startswith(MARKET)]
    return Stock(town.database.owner, town.settings, template or int(town.templates[MARKET_TEMPLATE]), tills, owners)


def redeem_item(piece: Piece) -> Item:
    """What the counter posts for a redemption of this piece: the same item, with the same hash, as over HTTP."""
    who = piece.till.acceptor
    return Item(
        Op.REDEEM,
        n=0,
        b=bucket_of(piece.owner),
        owner=piece.owner,
        id=piece.redemption_id,
        credential=piece.credential_id,
        merchant=who.merchant_id,
        store=who.store_id,
        terminal=who.terminal_id,
        staff=who.staff_id,
        ticket_expires_at=datetime.now(UTC) + LASTS,
        hash=intent_hash(
            f"merchant:{who.merchant_id}/terminal:{who.terminal_id}", "redeem", piece.redemption_id, None, None
        ),
    )


def scan_item(piece: Piece) -> Item:
    """What the counter posts for a scan of this piece with the right one-time password."""
    who = piece.till.acceptor
    return Item(
        Op.CLAIM_CREDENTIAL,
        b=bucket_of(piece.owner),
        owner=piece.owner,
        n=0,
        credential=piece.credential_id,
        handle=piece.handle,
        code_ok=True,
        redemption=piece.redemption_id,
        void=piece.void_id,
        merchant=who.merchant_id,
        store=who.store_id,
        terminal=who.terminal_id,
        staff=who.staff_id,
    )


def as_batch(item: Item) -> str:
    """The JSON text of a batch of one."""
    return msgspec.json.encode([item]).decode()


def _uuid7s(count: int) -> list[UUID]:
    """Fresh UUIDv7s of this moment."""
    high = int(time.time() * 1000) << 80 | 7 << 76 | 0x2 << 62
    mask = (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)
    noise = os.urandom(10 * count)
    return [UUID(int=high | int.from_bytes(noise[n : n + 10], "big") & mask) for n in range(0, 10 * count, 10)]
