"""The counter: a terminal verifies a code, redeems the ticket, and may take a redemption back (核销).

    code ──▶ digits, prefix, check digit ──▶ one-time password ──▶ vault.scan ──▶ {result, benefit, ticket}
    ticket ──▶ opened ──▶ vault.redeem ──▶ receipt          redemption id ──▶ vault.void ──▶ void receipt

Python checks shape and signature; every rule about what may change is decided in the vault (D24) and worded here. A
merchant sees a benefit and a redemption id: no name, no openid, no score, no band.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from server.kit.caller import Caller
from server.kit.clock import Clock
from server.kit.ids import uuid7
from server.scenes.errors import CodeMalformed, TooManyFailures
from server.scenes.news import News
from server.scenes.tickets import Ticket, TicketOffice
from wallet import Acceptor, PlaceLimit, RedemptionView, Refused, Vault, statuses
from wallet import credentials as k1
from wallet.errors import reached

Result = Literal["usable", "not_valid", "merchant_suspended", "outside_window", "limit_reached"]
WEEKDAYS = "一二三四五六日"

# Shown on both screens, so that a person can see that the two belong together.
CHECK_SIGNS = (
    "🍎🍊🍋🍉🍇🍓🍒🍑🥝🍍🥥🥕🌽🍄🍐🥦🐶🐱🐭🐰🦊🐻🐼🐯🦁🐮🐷🐸🐵🐔🐧🦆"
    "🦉🐢🐙🦋🐝🐞🐟🐬🚗🚌🚲🚀⛵🚂🚁⚓🏀⚽🎾🏓🎸🎺🥁🎈🎁🔔📷💡📚🔑🌈🌙"
)


BY_SESSION, BY_MERCHANT = "wrong_code_session", "wrong_code_merchant"


class Benefit(Protocol):
    """What a coupon gives, as both sides read it. Immutable, like the terms behind it."""

    @property
    def template_id(self) -> int: ...

    @property
    def title(self) -> str: ...

    @property
    def terms_text(self) -> str: ...

    @property
    def needs_order_amount(self) -> bool: ...

    @property
    def needs_order_no(self) -> bool: ...


class Benefits(Protocol):
    """Words what coupon terms give; the room of incentives keeps them."""

    async def benefit(self, terms_id: int) -> Benefit: ...


class Failures(Protocol):
    """Counts wrong codes per minute, by whatever key (D31)."""

    def blocked(self, name: str, subject: str, per_minute: int) -> bool: ...

    def count(self, name: str, subject: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Verification:
    """The answer to a scan. `ticket` and `benefit` only when usable; `expires_in_s` is the ticket's life. `usable_at`
    only outside the window: when the coupon can be used next, None when never again. `message` there, and for a place
    whose limit is reached."""

    result: Result
    benefit: Benefit | None = None
    ticket: str | None = None
    expires_in_s: int | None = None
    check: str | None = None
    usable_at: datetime | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A redemption as its merchant sees it; the same for every replay."""

    redemption_id: UUID
    benefit: Benefit
    order_no: str | None
    order_amount_fen: int | None
    discount_fen: int
    platform_fen: int
    sponsor_fen: int
    merchant_fen: int
    redeemed_at: datetime
    void_until: datetime
    check: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class VoidReceipt:
    redemption_id: UUID
    benefit: Benefit
    voided_at: datetime
    reason: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class ShiftLine:
    """One redemption of the shift list."""

    row: RedemptionView
    benefit: Benefit


class CounterService:
    """What a terminal may do with a resident's code."""

    def __init__(
        self,
        *,
        vault: Vault,
        clock: Clock,
        benefits: Benefits,
        tickets: TicketOffice,
        news: News,
        failures: Failures,
        credential_key: bytes,
        code_prefix: str = "81",
        ticket_ttl_s: int = 300,
        failures_per_session: int = 30,
        failures_per_merchant: int = 300,
    ) -> None:
        self._vault, self._clock, self._benefits = vault, clock, benefits
        self._tickets, self._news = tickets, news
        self._failures = failures
        self._key, self._prefix, self._ticket_ttl_s = credential_key, code_prefix, ticket_ttl_s
        self._per_session, self._per_merchant = failures_per_session, failures_per_merchant

    async def verify(self, caller: Caller, code: str) -> Verification:
        """Claims the showing behind a code for this terminal. Raises `CodeMalformed`, `TooManyFailures`; every other
        reason why a code cannot be used is one and the same `not_valid` (D30), but for a suspended merchant and for a
        genuine code, at a merchant and store of its terms, at a time when it cannot be used or the place is full."""
        try:
            scanned = k1.parse_code(code, self._prefix)
        except k1.CodeMalformed:
            raise CodeMalformed(field="code") from None
        session, merchant = caller.session_id, str(caller.merchant_id)
        if self._failures.blocked(BY_SESSION, session, self._per_session) or self._failures.blocked(
            BY_MERCHANT, merchant, self._per_merchant
        ):
            raise TooManyFailures(retry_after_s=60)
        now = self._clock.now()
        current = k1.code_is_current(self._key, now.astimezone(self._clock.zone).date(), scanned, now.timestamp())
        try:
            claim = await self._vault.scan(
                scanned.handle,
                code_ok=current,
                acceptor=_acceptor(caller),
                own_resident=caller.resident_id,
                redemption_id=uuid7(now),
                void_id=uuid7(now),
            )
        except Refused as refusal:
            if refusal.answer == statuses.MERCHANT_SUSPENDED:
                return Verification("merchant_suspended")
            if refusal.answer == statuses.OUTSIDE_WINDOW:
                return self._not_now(await self._vault.read.usable_next(scanned.handle))
            if refusal.answer != statuses.NOT_VALID:
                raise
            self._failures.count(BY_SESSION, session)
            self._failures.count(BY_MERCHANT, merchant)
            return Verification("not_valid")
        if claim.counted and (full := await self._full(caller, claim.terms)) is not None:
            return Verification("limit_reached", message=reached(full))
        ticket = Ticket(
            claim.owner, claim.credential_id, claim.redemption_id, now + timedelta(seconds=self._ticket_ttl_s),
            claim.counted,
        )  # fmt: skip
        return Verification(
            "usable",
            await self._benefits.benefit(claim.terms),
            self._tickets.seal(ticket),
            self._ticket_ttl_s,
            check_of(claim.redemption_id),
        )

    async def _full(self, caller: Caller, terms_id: int) -> PlaceLimit | None:
        """A limit that leaves this store nothing now, told before the order is rung up. It decides nothing: the
        redemption does, and the same terminal may scan the same code again."""
        return await self._vault.read.full_at(
            terms_id, merchant_id=caller.merchant_id or 0, store_id=caller.store_id or 0
        )

    def _not_now(self, usable_at: datetime | None) -> Verification:
        if usable_at is None:
            return Verification("outside_window", message="此券已没有可用时间")
        at = usable_at.astimezone(self._clock.zone)
        when = f"{at.month}月{at.day}日（周{WEEKDAYS[at.weekday()]}）{at:%H:%M}"
        return Verification("outside_window", usable_at=usable_at, message=f"此券现在不在可用时间内，{when}起可用")

    async def redeem(
        self, caller: Caller, ticket_text: str, order_amount_fen: int | None, order_no: str | None
    ) -> Receipt:
        """Redeems a ticket exactly once; the same ticket again is the same receipt. Raises `TicketInvalid` and what
        the vault refuses."""
        ticket = self._tickets.open(ticket_text)
        try:
            done = await self._vault.redeem(
                owner=ticket.owner,
                credential_id=ticket.credential_id,
                redemption_id=ticket.redemption_id,
                acceptor=_acceptor(caller),
                ticket_expires_at=ticket.expires_at,
                counted=ticket.counted,
                order_amount_fen=order_amount_fen,
                order_no=order_no,
            )
        except Refused as refusal:
            if refusal.answer == statuses.ACCOUNT_FROZEN:  # a merchant learns nothing about the person (G3)
                raise Refused(statuses.CREDENTIAL_SPENT) from None
            raise
        self._news.happened(ticket.owner)
        row = done.result
        return Receipt(
            row.id,
            await self._benefits.benefit(row.terms or 0),
            row.order_no,
            row.order_amount_fen,
            row.discount_fen,
            row.platform_fen,
            row.sponsor_fen,
            row.merchant_fen,
            row.at,
            row.void_until,
            check_of(row.id),
            done.replayed,
        )

    async def void(self, caller: Caller, redemption_id: UUID, reason: str) -> VoidReceipt:
        """Takes a redemption of this store back inside its window; a second void answers the same."""
        done = await self._vault.void(redemption_id, acceptor=_acceptor(caller), reason=reason)
        row = done.result
        self._news.happened(row.owner)
        return VoidReceipt(
            row.redemption_id, await self._benefits.benefit(row.terms or 0), row.at, row.reason, done.replayed
        )

    async def shift(
        self, caller: Caller, *, business_date: date | None, before: UUID | None, limit: int
    ) -> list[ShiftLine]:
        """The redemptions of the store this session is at, newest first."""
        rows = await self._vault.read.redemptions(
            caller.merchant_id or 0, store_id=caller.store_id, business_date=business_date, before=before, limit=limit
        )
        return [ShiftLine(row, await self._benefits.benefit(row.terms_id)) for row in rows]


def check_of(redemption_id: UUID) -> str:
    """Two signs that the merchant's and the resident's screen both show for one redemption."""
    digest = hashlib.sha256(b"check" + redemption_id.bytes).digest()
    return CHECK_SIGNS[digest[0] % len(CHECK_SIGNS)] + CHECK_SIGNS[digest[1] % len(CHECK_SIGNS)]


def _acceptor(caller: Caller) -> Acceptor:
    return Acceptor(caller.merchant_id or 0, caller.store_id or 0, caller.terminal_id or 0, caller.staff_id)
