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


__all__ = ["CampaignListReply", "ClaimableReply", "LiveCampaignReply"]
