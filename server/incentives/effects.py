"""What the effect of a rule draws on, and how much of it."""

from __future__ import annotations

from server.incentives.models import CouponTemplateVersion
from server.incentives.rules import Rule
from server.incentives.rules.language import GivePoints, GivePointsPer


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
    """The most that platform and sponsor together pay for one coupon of these terms, in fen, rounded up."""
    paid_bp: int = terms.platform_bp + terms.sponsor_bp
    return -(-worth_fen(terms) * paid_bp // 10_000)


def worth_fen(terms: CouponTemplateVersion) -> int:
    """The most that a coupon of these terms saves its owner, in fen."""
    worth: int = terms.cap_fen if terms.kind == "discount" else terms.face_value_fen
    return worth
