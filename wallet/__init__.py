"""The vault: the one place where points, coupons and budgets move.

    house ──▶ Vault ──▶ lanes ──▶ one call ──▶ PostgreSQL (migrations/sql/vault): here every rule about value is certain

It imports nothing of the house. Public names are listed here.
"""

from wallet.errors import BudgetRefused, InFlight, QueueFull, Refused, TermsConflict, VaultError, VaultUnavailable
from wallet.items import (
    Acceptor,
    Adjusted,
    Captured,
    Claimed,
    CouponExpired,
    CouponLocked,
    CouponUnlocked,
    CouponVoided,
    Earned,
    FreezeChanged,
    Held,
    Op,
    PlaceLimit,
    PointsExpired,
    Redeemed,
    Refunded,
    Released,
    ScannedCredential,
    Spent,
    Voided,
    bucket_of,
)
from wallet.offers import LimitAsked
from wallet.posting import Done
from wallet.queries import BudgetView, CouponState, CouponView, RedemptionView
from wallet.setup import IssuedHandle
from wallet.statements import BalanceAt, Entry, Freeze, HoldView, Lot, WalletView
from wallet.statuses import STATUSES, Status
from wallet.terms import CouponTerms, EarnTerms, PersonLimit, ScopedLimit, UsableWindow
from wallet.vault import Vault

__all__ = [
    "STATUSES",
    "Acceptor",
    "Adjusted",
    "BalanceAt",
    "BudgetRefused",
    "BudgetView",
    "Captured",
    "Claimed",
    "CouponExpired",
    "CouponLocked",
    "CouponState",
    "CouponTerms",
    "CouponUnlocked",
    "CouponView",
    "CouponVoided",
    "Done",
    "EarnTerms",
    "Earned",
    "Entry",
    "Freeze",
    "FreezeChanged",
    "Held",
    "HoldView",
    "InFlight",
    "IssuedHandle",
    "LimitAsked",
    "Lot",
    "Op",
    "PersonLimit",
    "PlaceLimit",
    "PointsExpired",
    "QueueFull",
    "Redeemed",
    "RedemptionView",
    "Refunded",
    "Refused",
    "Released",
    "ScannedCredential",
    "ScopedLimit",
    "Spent",
    "Status",
    "TermsConflict",
    "UsableWindow",
    "Vault",
    "VaultError",
    "VaultUnavailable",
    "Voided",
    "WalletView",
    "bucket_of",
]
