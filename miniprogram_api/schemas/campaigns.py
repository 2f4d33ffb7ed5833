"""Body of the residents' campaign list."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Period = Literal["total", "day", "week", "month"]


class LiveCampaignReply(Struct, frozen=True):
    """A campaign that gives points now. `terms_text` is the whole rule; `per_person`: how often
    in each `per_person_period`."""

    id: str
    title: str
    terms_text: str
    points: int
    per_person: int
    per_person_period: Period
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
    per_person: int
    per_person_period: Period
    left: int
    claim_from: datetime
    claim_until: datetime


class CampaignListReply(Struct, frozen=True):
    """Soonest to end first; at most 100 of each."""

    campaigns: list[LiveCampaignReply]
    coupons: list[ClaimableReply]


__all__ = ["CampaignListReply", "ClaimableReply", "LiveCampaignReply"]
