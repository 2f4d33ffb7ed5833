"""What administrators ask for, checked before it is written; the database checks the same again for certainty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from server.incentives.changes import Effects
from server.incentives.effects import least_points, most_points, paid_fen
from server.incentives.experiments.hold_out import HoldOut, check_hold_out
from server.incentives.limits import Limit, check_limits, check_reachable
from server.incentives.rules import Rule, RuleRefused, check, read
from server.incentives.rules.language import DateTrigger
from server.incentives.rules.needs import kind_of
from server.incentives.usable import UsableTime, check_windows
from server.kit.audit import Actor
from server.kit.errors import InvalidField

KINDS = ("amount_off", "discount", "exchange")

MAX_PRICE_POINTS = 1_000_000
MAX_FEN = 100_000_000
MAX_PLANNED = 1_000_000_000_000
MAX_MERCHANTS = 2_000
MAX_DAYS = 3_660
MAX_PER_ORDER = 100
MAX_GOODS = 1_000
WHOLE_BP = 10_000
DEFAULT_VOID_WINDOW_S = 1_800
MAX_VOID_WINDOW_S = 7 * 86_400
MAX_GRACE_DAYS = 365
A_MOMENT = timedelta(microseconds=1)
# Every instant between can be told in any zone; "for ever" is no date.
FIRST_DAY, LAST_DAY = datetime(2000, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signed:
    """Who asks, for the audit trail and the two-person rule. `simulate`: only to see what would happen, which he is
    `told`, write by write."""

    admin_id: int
    request_id: str
    simulate: bool = False
    told: list[Effects] = field(default_factory=list, compare=False)

    @property
    def actor(self) -> Actor:
        return Actor("admin", str(self.admin_id))


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidField(field=name, reason=f"须在{low}至{high}之间" if 0 <= low < high else "此项在这里不适用")


def _filled(name: str, value: str, limit: int) -> None:
    if not value.strip() or len(value) > limit or not value.isprintable():
        raise InvalidField(field=name)


def _window(starts_at: datetime, ends_at: datetime) -> None:
    if starts_at.tzinfo is None or starts_at < FIRST_DAY:
        raise InvalidField(field="starts_at")
    if ends_at.tzinfo is None or ends_at <= starts_at or ends_at > LAST_DAY:
        raise InvalidField(field="ends_at")


def rule_of(document: object) -> Rule:
    """The rule that a decoded JSON document holds. Raises RuleRefused, naming the part as `rule.…`."""
    with _in_rule():
        return read(document)


@contextmanager
def _in_rule() -> Iterator[None]:
    try:
        yield
    except RuleRefused as refusal:
        raise RuleRefused(f"rule.{refusal.field}" if refusal.field else "rule", refusal.reason) from None


def midnight_of(rule: Rule, zone: ZoneInfo) -> datetime | None:
    """When the date of a rule's trigger begins in the city; None for a rule about facts."""
    trigger = rule.trigger
    return datetime.combine(trigger.on, time(), zone) if isinstance(trigger, DateTrigger) else None


def check_comes(rule: Rule, zone: ZoneInfo, now: datetime) -> None:
    """Raise RuleRefused when the date of a rule's trigger has begun: it will not begin again."""
    midnight = midnight_of(rule, zone)
    if midnight is not None and midnight <= now:
        raise RuleRefused("rule.trigger.on", "触发日期已经开始，活动须在其零点之前生效")


def check_happens(rule: Rule, starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> None:
    """Raise RuleRefused for what can never happen on the days of this time in the city."""
    with _in_rule():
        check(rule, (starts_at.astimezone(zone).date(), last_day_of(ends_at, zone)))


def last_day_of(ends_at: datetime, zone: ZoneInfo) -> date:
    """The city's last day of a time that ends at this instant, which no longer belongs to it."""
    return (ends_at - A_MOMENT).astimezone(zone).date()


ONCE_EACH = (Limit(1, "earn"),)
ONE_EACH = (Limit(1, "issue"),)


@dataclass(frozen=True, slots=True)
class CampaignDraft:
    """A version of a campaign as its editor wants it. `document` is the approval's number.

    `budget_points` bounds all awards of the campaign together; a later version leaves it out, as only a top-up changes
    what was approved once. It is 0 where the rule gives no points. `hold_out`: a share of residents gets nothing, by
    lot, to see what the campaign changes.
    """

    title: str
    document: str
    rule: Rule
    starts_at: datetime
    ends_at: datetime
    budget_points: int | None = None
    limits: tuple[Limit, ...] = ONCE_EACH
    validity_months: int = 24
    hold_out: HoldOut | None = None

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be, RuleRefused for a rule that may not be."""
        _filled("title", self.title, 60)
        _filled("document", self.document, 100)
        _window(self.starts_at, self.ends_at)
        with _in_rule():
            check(self.rule)
        most = most_points(self.rule)
        if self.budget_points and not most:
            raise InvalidField(field="budget_points", reason="该活动不发放积分，不能设置积分预算")
        if self.budget_points and self.budget_points < most:
            raise InvalidField(field="budget_points", reason=f"预算不足以发放一次，单次最多{most}积分")
        if self.budget_points is not None:
            _within("budget_points", self.budget_points, most, MAX_PLANNED)
        check_limits(self.limits, ("earn",))
        if not most_points(self.rule):  # what is handed over is counted by the house, which counts awards only
            for place, limit in enumerate(self.limits):
                if limit.measure != "count":
                    raise InvalidField(field=f"limits[{place}].measure")
        check_reachable(self.limits, {("earn", "points"): least_points(self.rule)})
        _within("validity_months", self.validity_months, 1, 24)
        if self.hold_out is not None:
            check_hold_out(self.hold_out, self.rule)

    def check_days(self, zone: ZoneInfo, now: datetime) -> None:
        """Raise RuleRefused for what can never happen on the campaign's own days in the city, and for a date whose
        midnight, when its fact occurs, is over or outside the campaign."""
        check_happens(self.rule, self.starts_at, self.ends_at, zone)
        midnight = midnight_of(self.rule, zone)
        if midnight is not None and midnight < self.starts_at:
            raise RuleRefused("rule.trigger.on", "触发日期的零点不在活动期间内")
        check_comes(self.rule, zone, now)

    def columns(self) -> dict[str, object]:
        """What it says, as columns of `campaign_version`."""
        return {
            "title": self.title, "document": self.document, "rule": msgspec.to_builtins(self.rule),
            "trigger": kind_of(self.rule), "starts_at": self.starts_at, "ends_at": self.ends_at,
            "limits": [msgspec.to_builtins(one) for one in self.limits], "validity_months": self.validity_months,
            "hold_out": None if self.hold_out is None else msgspec.to_builtins(self.hold_out),
        }  # fmt: skip

    def units(self) -> dict[str, str]:
        """The budgets that it draws on by unit, each with the field that states it."""
        return {"points": "budget_points"} if most_points(self.rule) else {}

    def stated(self) -> dict[str, int]:
        """The amounts of budgets that are stated, by unit."""
        return {"points": self.budget_points} if self.budget_points else {}

    def planned(self) -> dict[str, int]:
        """The amount of each budget, by unit; nothing is made up."""
        return self.stated()


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """A version of a coupon template as its editor wants it. `stock`: coupons; `budget_fen`: by default enough for
    all of them; a later version leaves both out. `merchant_bp`: by default what platform and sponsor do not bear.
    `goods_name`: of an exchange, else the title names what is given. `grace_days`: the least life after a void;
    `claimable`: residents may claim it themselves; a coupon that is only given has no price. `by_lottery`: it is drawn
    among those who register, and so not claimable, whatever is stated. Other fields as in
    `models.CouponTemplateVersion`."""

    title: str
    document: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    stock: int | None = None
    face_value_fen: int = 0
    pay_bp: int = 0
    cap_fen: int = 0
    threshold_fen: int = 0
    platform_bp: int = 0
    sponsor_bp: int = 10_000
    merchant_bp: int | None = None
    price_points: int = 0
    limits: tuple[Limit, ...] = ONE_EACH
    starts_after_days: int = 0
    valid_days: int = 30
    valid_from: date | None = None
    valid_until: date | None = None
    windows: tuple[UsableTime, ...] = ()
    merchants: tuple[int, ...] = field(default=())
    stores: tuple[int, ...] = field(default=())
    stacking_group: str | None = None
    most_per_order: int = 1
    goods_name: str = ""
    goods_quantity: int = 0
    notice: str = ""
    void_window_s: int = DEFAULT_VOID_WINDOW_S
    grace_days: int = 0
    return_stock: bool = False
    budget_fen: int | None = None
    claimable: bool = True
    by_lottery: bool = False

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        _filled("title", self.title, 60)
        _filled("document", self.document, 100)
        if self.kind not in KINDS:
            raise InvalidField(field="kind")
        if self.stock is not None:
            _within("stock", self.stock, 1, MAX_PLANNED)
        self._check_worth()
        self._check_shares()
        _within("price_points", self.price_points, 0, MAX_PRICE_POINTS if self.is_claimed() else 0)
        check_limits(self.limits, ("issue", "redeem"))
        check_reachable(self.limits, self._least_counted())
        _within("void_window_s", self.void_window_s, 0, MAX_VOID_WINDOW_S)
        _within("grace_days", self.grace_days, 0, MAX_GRACE_DAYS)
        _window(self.starts_at, self.ends_at)
        self._check_use()
        if self.budget_fen is not None:
            _within("budget_fen", self.budget_fen, self.share_fen(), MAX_PLANNED if self.share_fen() else -1)
        if (self.stock or 0) * self.share_fen() > MAX_PLANNED:
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

    def _check_shares(self) -> None:
        _within("platform_bp", self.platform_bp, 0, WHOLE_BP)
        _within("sponsor_bp", self.sponsor_bp, 0, WHOLE_BP)
        rest = WHOLE_BP - self.platform_bp - self.sponsor_bp
        if rest < 0:
            raise InvalidField(field="sponsor_bp", reason=f"与平台承担比例合计不得超过{WHOLE_BP}")
        if self.merchant_bp is not None and self.merchant_bp != rest:
            raise InvalidField(field="merchant_bp", reason=f"平台、补贴方与商户承担比例合计须为{WHOLE_BP}")

    def _check_use(self) -> None:
        for name, ids in (("merchants", self.merchants), ("stores", self.stores)):
            if len(ids) > MAX_MERCHANTS or len(set(ids)) != len(ids):
                raise InvalidField(field=name)
        check_windows(self.windows)
        _within("valid_days", self.valid_days, 0 if self.valid_until else 1, MAX_DAYS)
        _within("starts_after_days", self.starts_after_days, 0, MAX_DAYS)
        last = self._last_day()
        if last > LAST_DAY.date():
            raise InvalidField(field="valid_until")
        if self.valid_from is not None and not FIRST_DAY.date() <= self.valid_from <= last:
            raise InvalidField(field="valid_from")
        if self.stacking_group is not None:
            _filled("stacking_group", self.stacking_group, 40)
        _within("most_per_order", self.most_per_order, 1, MAX_PER_ORDER if self.stacking_group else 1)
        if self.goods_name:
            _filled("goods_name", self.goods_name, 40)
        exchanges = self.kind == "exchange" and self.goods_name
        _within("goods_quantity", self.goods_quantity, 1 if exchanges else 0, MAX_GOODS if exchanges else 0)
        if self.goods_name and not exchanges:
            raise InvalidField(field="goods_name")
        if self.notice:
            _filled("notice", self.notice, 300)

    def check_days(self, zone: ZoneInfo) -> None:
        """Raise InvalidField for a coupon that would be over before it can be used, wherever it was claimed from:
        whoever gets one in the last minute can still use it, by the city's days."""
        given = last_day_of(self.ends_at, zone)
        if given > self._last_day():
            raise InvalidField(field="valid_until")
        if given + timedelta(days=self.starts_after_days) > self._last_day():
            raise InvalidField(field="starts_after_days")

    def _last_day(self) -> date:
        return LAST_DAY.date() if self.valid_until is None else self.valid_until

    def is_claimed(self) -> bool:
        """Whether residents claim it, the first who come."""
        return self.claimable and not self.by_lottery

    def share_fen(self) -> int:
        """The most that can be paid for one coupon, by platform and sponsor together, in fen."""
        worth = self.cap_fen if self.kind == "discount" else self.face_value_fen
        return paid_fen(worth, self.platform_bp, self.sponsor_bp)

    def _least_counted(self) -> dict[tuple[str, str], int]:
        """The least that one coupon counts as, by action and measure; what a discount saves is known at the counter."""
        worth = self.cap_fen if self.kind == "discount" else self.face_value_fen
        counted = {("issue", "points"): self.price_points, ("issue", "face_value_fen"): worth}
        counted[("issue", "fen")] = self.share_fen()
        if self.kind != "discount":
            counted[("redeem", "face_value_fen")] = worth
            counted[("redeem", "fen")] = worth * (self.platform_bp + self.sponsor_bp) // WHOLE_BP
        return counted

    def columns(self) -> dict[str, object]:
        """What it says, as columns of `coupon_template_version`."""
        names = (
            "title", "document", "kind", "starts_at", "ends_at", "face_value_fen", "pay_bp", "cap_fen", "threshold_fen",
            "price_points", "starts_after_days", "valid_days", "valid_from", "valid_until", "stacking_group",
            "most_per_order", "goods_name", "goods_quantity", "notice", "void_window_s", "grace_days", "return_stock",
            "by_lottery",
        )  # fmt: skip
        # Who has nothing to pay bears nothing: the vault demands a money budget of every other.
        platform_bp, sponsor_bp = (self.platform_bp, self.sponsor_bp) if self.share_fen() else (0, 0)
        return {name: getattr(self, name) for name in names} | {
            "merchants": sorted(self.merchants), "stores": sorted(self.stores),
            "windows": [msgspec.to_builtins(one) for one in self.windows],
            "limits": [msgspec.to_builtins(one) for one in self.limits], "claimable": self.is_claimed(),
            "platform_bp": platform_bp, "sponsor_bp": sponsor_bp, "merchant_bp": WHOLE_BP - platform_bp - sponsor_bp,
        }  # fmt: skip

    def units(self) -> dict[str, str]:
        """The budgets that it draws on by unit, each with the field that states it; no money without a sponsor."""
        return {"coupons": "stock"} | ({"fen": "budget_fen"} if self.share_fen() else {})

    def stated(self) -> dict[str, int]:
        """The amounts of budgets that are stated, by unit."""
        amounts = {"coupons": self.stock, "fen": self.budget_fen}
        return {unit: amount for unit, amount in amounts.items() if amount is not None}

    def planned(self) -> dict[str, int]:
        """The amount of each budget, by unit; money for the whole stock where none is stated."""
        enough = {"fen": self.stock * self.share_fen()} if self.stock and self.share_fen() else {}
        return enough | self.stated()
