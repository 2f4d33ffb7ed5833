"""What administrators ask for, checked before it is written; the database checks the same again for certainty."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from server.kit.audit import Actor
from server.kit.errors import InvalidField

TRIGGERS = ("identity_bound",)
KINDS = ("amount_off", "discount", "exchange")
PERIODS = ("total", "day", "week", "month")

MAX_POINTS = 1_000_000
MAX_FEN = 100_000_000
MAX_PLANNED = 1_000_000_000_000
MAX_MERCHANTS = 2_000
DEFAULT_VOID_WINDOW_S = 1_800
MAX_VOID_WINDOW_S = 7 * 86_400
MAX_GRACE_DAYS = 365
# Every instant between can be told in any zone; "for ever" is no date.
FIRST_DAY, LAST_DAY = datetime(2000, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signed:
    """Who asks, for the audit trail and the two-person rule."""

    admin_id: int
    request_id: str

    @property
    def actor(self) -> Actor:
        return Actor("admin", str(self.admin_id))


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidField(field=name)


def _filled(name: str, value: str, limit: int) -> None:
    if not value.strip() or len(value) > limit or not value.isprintable():
        raise InvalidField(field=name)


def _window(starts_at: datetime, ends_at: datetime) -> None:
    if starts_at.tzinfo is None or starts_at < FIRST_DAY:
        raise InvalidField(field="starts_at")
    if ends_at.tzinfo is None or ends_at <= starts_at or ends_at > LAST_DAY:
        raise InvalidField(field="ends_at")


def _per_person(cap: int, period: str) -> None:
    _within("per_person", cap, 1, 10_000)
    if period not in PERIODS:
        raise InvalidField(field="per_person_period")


@dataclass(frozen=True, slots=True)
class CampaignDraft:
    """A campaign as its editor wants it. `budget_points` bounds all awards; `document` is the approval's number;
    `per_person`: awards of one person in each `per_person_period`."""

    title: str
    document: str
    trigger: str
    points: int
    budget_points: int
    starts_at: datetime
    ends_at: datetime
    per_person: int = 1
    validity_months: int = 24
    per_person_period: str = "total"

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        _filled("title", self.title, 60)
        _filled("document", self.document, 100)
        if self.trigger not in TRIGGERS:
            raise InvalidField(field="trigger")
        _within("points", self.points, 1, MAX_POINTS)
        _within("budget_points", self.budget_points, self.points, MAX_PLANNED)
        _per_person(self.per_person, self.per_person_period)
        _within("validity_months", self.validity_months, 1, 24)
        _window(self.starts_at, self.ends_at)

    def columns(self) -> dict[str, object]:
        """The rule as columns of `campaign`."""
        return {
            "title": self.title, "document": self.document, "trigger": self.trigger, "points": self.points,
            "starts_at": self.starts_at, "ends_at": self.ends_at, "per_person": self.per_person,
            "per_person_period": self.per_person_period, "validity_months": self.validity_months,
        }  # fmt: skip

    def planned(self) -> dict[str, int]:
        """The planned amount of each budget, by unit."""
        return {"points": self.budget_points}


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """A coupon template as its editor wants it. `stock`: coupons; `budget_fen`: by default enough for all of them;
    `per_person`: coupons of one person in each `per_person_period`; `grace_days`: the least life after a void;
    `claimable`: residents may claim it themselves; a coupon that is only given has no price."""

    title: str
    document: str
    kind: str
    stock: int
    starts_at: datetime
    ends_at: datetime
    face_value_fen: int = 0
    pay_bp: int = 0
    cap_fen: int = 0
    threshold_fen: int = 0
    sponsor_bp: int = 10_000
    price_points: int = 0
    per_person: int = 1
    per_person_period: str = "total"
    valid_days: int = 30
    valid_until: date | None = None
    merchants: tuple[int, ...] = field(default=())
    void_window_s: int = DEFAULT_VOID_WINDOW_S
    grace_days: int = 0
    return_stock: bool = False
    budget_fen: int | None = None
    claimable: bool = True

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        _filled("title", self.title, 60)
        _filled("document", self.document, 100)
        if self.kind not in KINDS:
            raise InvalidField(field="kind")
        _within("stock", self.stock, 1, MAX_PLANNED)
        self._check_worth()
        _within("sponsor_bp", self.sponsor_bp, 0, 10_000)
        _within("price_points", self.price_points, 0, MAX_POINTS if self.claimable else 0)
        _per_person(self.per_person, self.per_person_period)
        _within("void_window_s", self.void_window_s, 0, MAX_VOID_WINDOW_S)
        _within("grace_days", self.grace_days, 0, MAX_GRACE_DAYS)
        _within("valid_days", self.valid_days, 0 if self.valid_until else 1, 3_660)
        if len(self.merchants) > MAX_MERCHANTS or len(set(self.merchants)) != len(self.merchants):
            raise InvalidField(field="merchants")
        _window(self.starts_at, self.ends_at)
        if self.valid_until is not None and not self.ends_at.date() <= self.valid_until <= LAST_DAY.date():
            raise InvalidField(field="valid_until")
        if self.budget_fen is not None:
            _within("budget_fen", self.budget_fen, self.share_fen(), MAX_PLANNED if self.share_fen() else -1)
        if self.stock * self.share_fen() > MAX_PLANNED:
            raise InvalidField(field="stock")

    def _check_worth(self) -> None:
        is_discount = self.kind == "discount"
        _within(
            "face_value_fen", self.face_value_fen, 1 if self.kind == "amount_off" else 0, 0 if is_discount else MAX_FEN
        )
        _within("pay_bp", self.pay_bp, 1 if is_discount else 0, 9_999 if is_discount else 0)
        _within("cap_fen", self.cap_fen, 1 if is_discount else 0, MAX_FEN if is_discount else 0)
        _within("threshold_fen", self.threshold_fen, 0, 0 if self.kind == "exchange" else MAX_FEN)
        if self.kind == "amount_off" and 0 < self.threshold_fen < self.face_value_fen:
            raise InvalidField(field="threshold_fen")

    def share_fen(self) -> int:
        """The most one coupon can cost its sponsor, in fen, rounded up."""
        worth = self.cap_fen if self.kind == "discount" else self.face_value_fen
        return -(-worth * self.sponsor_bp // 10_000)

    def columns(self) -> dict[str, object]:
        """The rule as columns of `coupon_template`."""
        names = (
            "title", "document", "kind", "starts_at", "ends_at", "face_value_fen", "pay_bp", "cap_fen", "threshold_fen",
            "sponsor_bp", "price_points", "per_person", "per_person_period", "valid_days", "valid_until",
            "void_window_s", "grace_days", "return_stock", "claimable",
        )  # fmt: skip
        columns = {name: getattr(self, name) for name in names} | {"merchants": sorted(self.merchants)}
        # Who has nothing to pay is no sponsor: the vault demands a money budget of every other.
        return columns | ({} if self.share_fen() else {"sponsor_bp": 0})

    def planned(self) -> dict[str, int]:
        """The planned amount of each budget, by unit; no money budget when the sponsor pays nothing."""
        planned = {"coupons": self.stock}
        if self.share_fen() > 0:
            planned["fen"] = self.budget_fen if self.budget_fen is not None else self.stock * self.share_fen()
        return planned
