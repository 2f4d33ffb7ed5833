"""What awards and coupons draw on, how much of it, and for how many it is enough."""

from __future__ import annotations

from typing import Final

from server.incentives.models import CouponTemplateVersion
from server.incentives.rules import Rule
from server.incentives.rules.language import GivePoints, GivePointsPer

WHOLE_BP: Final = 10_000


def most_points(rule: Rule) -> int:
    """The most points that one award of this rule gives; 0 for a rule that gives something else."""
    if isinstance(rule.effect, GivePoints):
        return rule.effect.points
    return rule.effect.at_most_points if isinstance(rule.effect, GivePointsPer) else 0


def least_points(rule: Rule) -> int:
    """The fewest points that an award of this rule may give; 0 for a rule that gives something else."""
    if isinstance(rule.effect, GivePoints):
        return rule.effect.points
    return 1 if isinstance(rule.effect, GivePointsPer) else 0


def most_fen(terms: CouponTemplateVersion) -> int:
    """The most that platform and sponsor together pay for one coupon of these terms, in fen: what its claim reserves,
    exactly."""
    return paid_fen(worth_fen(terms), terms.platform_bp, terms.sponsor_bp)


def paid_fen(saved_fen: int, platform_bp: int, sponsor_bp: int) -> int:
    """Platform's and sponsor's part of what a coupon saves, as `vault.funding_of` shares it: each its whole fen, what
    is left fen by fen to the largest fractions, of equal ones the platform's first, then the sponsor's."""
    parts = (platform_bp, sponsor_bp, WHOLE_BP - platform_bp - sponsor_bp)
    whole = [saved_fen * part // WHOLE_BP for part in parts]
    by_fraction = sorted(range(3), key=lambda place: (-(saved_fen * parts[place] % WHOLE_BP), place))
    return whole[0] + whole[1] + sum(place < 2 for place in by_fraction[: saved_fen - sum(whole)])


def coupons_left(stock: int, fen: int, each_fen: int) -> int:
    """How many coupons can still be given: as many as are in stock, if the money reaches for what each may cost
    (`most_fen`)."""
    return min(stock, fen // each_fen) if each_fen else stock


def worth_fen(terms: CouponTemplateVersion) -> int:
    """The most that a coupon of these terms saves its owner, in fen."""
    worth: int = terms.cap_fen if terms.kind == "discount" else terms.face_value_fen
    return worth
