"""Bodies of the residents' campaigns and of the shop."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct


class LiveCampaignReply(Struct, frozen=True):
    """A campaign that gives now. `terms_text` is the whole rule; `points`: the most that one award gives, 0 when it
    gives something else; `limits`: what it gives at most, each in Chinese with whom it bounds: one person (每人), the
    campaign (全部合计), each town."""

    id: str
    title: str
    terms_text: str
    trigger: str
    points: int
    limits: list[str]
    starts_at: datetime
    ends_at: datetime


class ClaimableReply(Struct, frozen=True):
    """A coupon that can be claimed now for `price_points`. `limits`: as of a campaign; `left`: how many can still be
    given, as far as stock and money reach, at most a second old."""

    template_id: str
    title: str
    summary: str
    terms_text: str
    kind: Literal["amount_off", "discount", "exchange"]
    price_points: int
    limits: list[str]
    left: int
    claim_from: datetime
    claim_until: datetime


class CampaignListReply(Struct, frozen=True):
    """Soonest to end first; at most 100 of each, the rest is in `/me/campaigns` and `/shop`."""

    campaigns: list[LiveCampaignReply]
    coupons: list[ClaimableReply]


class StepsReply(Struct, frozen=True):
    """How far: `done` of `needed` in the smallest unit, and the same in Chinese."""

    done: int
    needed: int
    text: str


class RulePartReply(Struct, frozen=True):
    """A part of the rule: what it asks, whether it holds, what was found, and how far one has come."""

    code: str
    text: str
    met: bool
    seen: str
    progress: StepsReply | None
    parts: list[RulePartReply]


class MyCampaignReply(Struct, frozen=True):
    """A campaign for the resident who asks. state: open (he may get something from it), received (he has all that one
    person may have in this period), held_out (so he would, but he is in the hold-out), not_eligible (something about
    him stands against it whatever he does), exhausted (its points or coupons are gone, or its coupons or lottery are
    over), paused (its coupons stand still; what is earned meanwhile comes later).
    `reason`: one Chinese sentence; `progress`: what is reached step by step."""

    id: str
    title: str
    terms_text: str
    trigger: str
    points: int
    limits: list[str]
    starts_at: datetime
    ends_at: datetime
    state: Literal["open", "received", "held_out", "not_eligible", "exhausted", "paused"]
    reason: str
    progress: list[RulePartReply]


class MyCampaignPageReply(Struct, frozen=True):
    """Soonest to end first; for who chose personalisation, those that are open before the others."""

    items: list[MyCampaignReply]
    next_cursor: str | None


class MyCampaignQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class DrawReply(Struct, frozen=True):
    """The lottery in which a coupon is drawn."""

    id: str
    title: str
    status: Literal["published", "closed"]
    self_entry: bool
    opens_at: datetime
    closes_at: datetime
    draw_at: datetime


class ShopItemReply(Struct, frozen=True):
    """A coupon that is offered. `left`: how many can still be given, as far as stock and money reach, at most a second
    old. state: open; lottery (drawn among who registers); not_yet; paused; sold_out; limit_reached (of this resident);
    full (of the whole city or his town for this period); insufficient_points. `reason`: one Chinese sentence;
    `opens_at`: when it will be claimable, or drawn, null when nobody knows; `mine_left`: how many this resident may
    still have now, null without such a limit; `points_short`: how many points are missing; `usable_at`: when one
    claimed now could first be used."""

    template_id: str
    title: str
    summary: str
    terms_text: str
    kind: Literal["amount_off", "discount", "exchange"]
    price_points: int
    limits: list[str]
    claim_from: datetime
    claim_until: datetime
    left: int
    state: Literal["open", "lottery", "not_yet", "paused", "sold_out", "limit_reached", "full", "insufficient_points"]
    reason: str
    opens_at: datetime | None
    mine_left: int | None
    points_short: int
    usable_at: datetime | None
    lottery: DrawReply | None


class ShopPageReply(Struct, frozen=True):
    """Soonest to end first, for everybody alike."""

    items: list[ShopItemReply]
    next_cursor: str | None


class ShopQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """price: free coupons only, or those for points."""

    price: Literal["any", "free", "points"] = "any"
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class GivenReply(Struct, frozen=True):
    """What became of it. status: pending (for seconds; a coupon whose template is paused waits), posted, withheld (he
    is in the campaign's hold-out and gets nothing), or refused for a `reason`, in Chinese in `text`. `minutes`: how
    many free minutes were given, through `valid_until`, null for anything else."""

    effect: Literal["points", "coupon", "free_minutes", "lottery_ticket"]
    points: int
    minutes: int
    valid_until: date | None
    status: Literal["pending", "posted", "withheld", "refused"]
    reason: str
    text: str


class ExplanationReply(Struct, frozen=True):
    """Why one got something of a campaign, or not, by one's newest fact that it speaks of, or, when its trigger is
    narrowed and none is so, by the newest of that kind. Without one `occurred_at` is null and the rule is told as it
    stands. `missing`: the fewest parts that would have to be otherwise."""

    campaign_id: str
    granted: bool
    occurred_at: datetime | None
    given: GivenReply | None
    missing: list[RulePartReply]
    progress: list[RulePartReply]
    parts: list[RulePartReply]
