"""Residents: from an openid to a natural person.

check ID number and age ─> ask the verification port ─> one transaction ─> open the wallet
                                                          resident, one per ID number
                                                          identity attached
                                                          fact and event `identity_bound`
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit import outbox
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope
from server.kit.db import transaction
from server.kit.errors import NotFound
from server.people.errors import (
    IdentityAlreadyBound,
    IdNumberInvalid,
    MinorRefused,
    NameInvalid,
    RealNameLocked,
    RealNameMismatch,
)
from server.people.id_number import birth_date, is_valid
from server.people.lockout import Lockout, Subject
from server.people.models import Identity, Resident
from server.people.ports import RealNamePort, RecordFact, WalletPort, WeChatPort

IDENTITY_BOUND = "identity_bound"
ID_NUMBER_PURPOSE = "resident.id_number"
NAME_PURPOSE = "resident.name"
PHONE_PURPOSE = "identity.phone"
_HAN = r"\u3400-\u9fff\U00020000-\U0003ffff"
_CHINESE_NAME = re.compile(rf"[{_HAN}][{_HAN}·]{{0,28}}[{_HAN}]")
_DOTS = re.compile(r"[•‧・●.]")
_LATIN_NAME = re.compile(r"[A-Za-z][A-Za-z .'\-]{1,60}")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Bound:
    """`first` says that the person is new here, not only this openid."""

    resident_id: int
    first: bool


@dataclass(frozen=True)
class Profile:
    """What `GET /me` may show; the caller masks it. Nothing of it appears in a repr."""

    identity_id: int
    resident_id: int | None
    name: str | None = field(repr=False)
    id_number: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    bound_at: datetime | None


class ResidentService:
    """Real-name binding, phone and profile of the person who is logged in."""

    def __init__(
        self,
        *,
        clock: Clock,
        wechat: WeChatPort,
        real_name: RealNamePort,
        wallet: WalletPort,
        record_fact: RecordFact,
        envelope: Envelope,
        index: BlindIndex,
        adult_age: int = 18,
    ) -> None:
        self._clock = clock
        self._wechat = wechat
        self._real_name = real_name
        self._wallet = wallet
        self._record_fact = record_fact
        self._envelope = envelope
        self._index = index
        self._adult_age = adult_age
        self._lockout = Lockout(clock=clock, index=index)

    async def bind_identity(self, identity_id: int, name: str, id_number: str) -> Bound:
        """Attach the identity to the natural person with this ID number; repeating it is no error.

        Refuses malformed input, minors, a name that is not the number's and an identity that belongs to somebody else.
        One ID number is one resident, however many openids bind it at once.
        """
        name, id_number = clean_name(name), clean_id_number(id_number)
        if not is_valid(id_number, today=self._clock.today()):
            raise IdNumberInvalid(field="id_number")
        if age_on(birth_date(id_number), self._clock.today()) < self._adult_age:
            raise MinorRefused(field="id_number")
        hmac = self._index.of(id_number, purpose=ID_NUMBER_PURPOSE)
        resident_id = await self._bound_to(identity_id, hmac)
        if resident_id is not None:
            await self._open_wallet(resident_id)
            return Bound(resident_id=resident_id, first=False)
        await self._verify(identity_id, name, id_number)
        bound = await self._attach(identity_id, name, id_number, hmac)
        await self._open_wallet(bound.resident_id)
        return bound

    async def add_phone(self, identity_id: int, code: str) -> str:
        """Exchange a phone code of WeChat for the number and keep it sealed with the identity; returns the number."""
        phone = await self._wechat.phone_number(code)
        changed = await Identity.filter(id=identity_id).update(
            phone_sealed=self._envelope.seal(phone, purpose=PHONE_PURPOSE),
            phone_hmac=self._index.of(phone, purpose=PHONE_PURPOSE),
        )
        if changed == 0:
            raise NotFound
        return phone

    async def profile(self, identity_id: int) -> Profile:
        """The personal data of the caller's own identity, to be shown to the caller only."""
        identity = await Identity.get_or_none(id=identity_id).select_related("resident")
        if identity is None:
            raise NotFound
        resident = identity.resident
        return Profile(
            identity_id=identity.id,
            resident_id=resident.id if resident else None,
            name=self._open(resident.name_sealed if resident else None, NAME_PURPOSE),
            id_number=self._open(resident.id_number_sealed if resident else None, ID_NUMBER_PURPOSE),
            phone=self._open(identity.phone_sealed, PHONE_PURPOSE),
            bound_at=identity.bound_at,
        )

    async def on_identity_bound(self, event: outbox.Event) -> None:
        """The worker's part (D18): open the wallet that a crash after COMMIT left unopened. May be repeated."""
        if event.kind != IDENTITY_BOUND:
            return
        await self._wallet.open_wallet(int(event.payload["resident_id"]))

    async def _verify(self, identity_id: int, name: str, id_number: str) -> None:
        """Ask the port. Wrong pairs make the identity wait longer and longer: the port must not serve as an oracle."""
        counted = (Subject("identity", str(identity_id)),)
        await self._lockout.begin(counted, RealNameLocked)
        try:
            right = await self._real_name.verify(name, id_number)
        except BaseException:
            await self._lockout.undecided(counted)
            raise
        if not right:
            raise RealNameMismatch(field="name")
        await self._lockout.succeeded(counted)

    def _open(self, sealed: bytes | None, purpose: str) -> str | None:
        return None if sealed is None else self._envelope.open(sealed, purpose=purpose)

    async def _bound_to(self, identity_id: int, hmac: bytes) -> int | None:
        identity = await Identity.get_or_none(id=identity_id).select_related("resident")
        if identity is None:
            raise NotFound
        if identity.resident is None:
            return None
        if bytes(identity.resident.id_number_hmac) != hmac:
            raise IdentityAlreadyBound
        return int(identity.resident.id)

    async def _attach(self, identity_id: int, name: str, id_number: str, hmac: bytes) -> Bound:
        now = self._clock.now()
        async with transaction() as tx:
            resident_id, first = await self._resident(tx, name, id_number, hmac, now)
            attached = await tx.execute_query_dict(
                "UPDATE identity SET resident_id = $1, bound_at = $2"
                " WHERE id = $3 AND resident_id IS NULL RETURNING id",
                [resident_id, now, identity_id],
            )
            if not attached:
                mine = await Identity.filter(id=identity_id, resident_id=resident_id).using_db(tx).exists()
                if not mine:
                    raise IdentityAlreadyBound
                return Bound(resident_id=resident_id, first=False)
            if first:
                await self._record_fact(
                    tx,
                    resident_id,
                    kind=IDENTITY_BOUND,
                    source_id=str(resident_id),
                    occurred_at=now,
                    attributes={"provider": "wechat"},
                )
            payload = {"resident_id": str(resident_id), "identity_id": str(identity_id), "first": first}
            await outbox.emit(tx, IDENTITY_BOUND, f"resident:{resident_id}", payload, now)
        return Bound(resident_id=resident_id, first=first)

    async def _resident(
        self, tx: BaseDBAsyncClient, name: str, id_number: str, hmac: bytes, now: datetime
    ) -> tuple[int, bool]:
        made = await tx.execute_query_dict(
            "INSERT INTO resident (id_number_hmac, id_number_sealed, name_sealed, bound_at) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (id_number_hmac) DO NOTHING RETURNING id",
            [
                hmac,
                self._envelope.seal(id_number, purpose=ID_NUMBER_PURPOSE),
                self._envelope.seal(name, purpose=NAME_PURPOSE),
                now,
            ],
        )
        if made:
            return int(made[0]["id"]), True
        known = await Resident.filter(id_number_hmac=hmac).using_db(tx).first()
        if known is None:
            raise NotFound
        return int(known.id), False

    async def _open_wallet(self, resident_id: int) -> None:
        try:
            await self._wallet.open_wallet(resident_id)
        except Exception as error:
            # The binding is committed and its event makes the worker try again; the person need not be told.
            _log.warning("open_wallet_failed", resident_id=resident_id, error=type(error).__name__)


def clean_name(name: str) -> str:
    """The name as on an ID card: one kind of middle dot, no stray blanks. `NameInvalid` for what is no name."""
    cleaned = unicodedata.normalize("NFKC", name).strip()
    if not cleaned.isascii():
        cleaned = _DOTS.sub("·", cleaned)
    if not (_CHINESE_NAME.fullmatch(cleaned) or _LATIN_NAME.fullmatch(cleaned)):
        raise NameInvalid(field="name")
    return cleaned


def clean_id_number(id_number: str) -> str:
    """Half-width, upper-case X, no blanks at the ends."""
    return unicodedata.normalize("NFKC", id_number).strip().upper()


def age_on(born: date, today: date) -> int:
    """Full years of age; somebody born on 29 February grows older on 1 March in a common year."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
