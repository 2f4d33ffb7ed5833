"""Body of the residents' campaign list."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class LiveCampaignReply(Struct, frozen=True):
    """A campaign that gives now. `terms_text` is the whole rule; `points`: the most that one award gives, 0 when it
    gives something else; `limits`: what one person may have at most."""

    id: str
    title: str
    terms_text: str
    trigger: str
    points: int
    limits: list[str]
    starts_at: datetime
    ends_at: datetime


class ClaimableReply(Struct, frozen=True):
    """A coupon that can be claimed now for `price_points`. `left` is at most a second old."""

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
    """Soonest to end first; at most 100 of each."""

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


class GivenReply(Struct, frozen=True):
    """What became of it. status: pending (within seconds), posted, withheld (he is in the campaign's hold-out and gets
    nothing), or refused for a `reason`, in Chinese in `text`."""

    effect: Literal["points", "coupon", "free_minutes", "lottery_ticket"]
    points: int
    status: Literal["pending", "posted", "withheld", "refused"]
    reason: str
    text: str


class ExplanationReply(Struct, frozen=True):
    """Why one got something of a campaign, or not, by one's newest fact that it speaks of. Without one `occurred_at` is
    null and the rule is told as it stands. `missing`: the fewest parts that would have to be otherwise."""

    campaign_id: str
    granted: bool
    occurred_at: datetime | None
    given: GivenReply | None
    missing: list[RulePartReply]
    progress: list[RulePartReply]
    parts: list[RulePartReply]
