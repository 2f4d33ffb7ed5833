"""The vault: the one place where points, coupons and budgets move.

    house ──▶ Vault ──▶ lanes ──▶ one call ──▶ PostgreSQL (migrations/sql/vault): here every rule about value is certain

It imports nothing of the house. Public names are listed here.
"""

from wallet.errors import BudgetRefused, InFlight, QueueFull, Refused, TermsConflict, VaultError, VaultUnavailable
from wallet.items import (
    Acceptor,
    Claimed,
    CouponExpired,
    CouponTerms,
    Earned,
    Op,
    Redeemed,
    ScannedCredential,
    Voided,
    bucket_of,
)
from wallet.queries import BudgetView, CouponView, Entry, Lot, RedemptionView, WalletView
from wallet.statuses import STATUSES, Status
from wallet.vault import Done, IssuedHandle, Vault

__all__ = [
    "STATUSES",
    "Acceptor",
    "BudgetRefused",
    "BudgetView",
    "Claimed",
    "CouponExpired",
    "CouponTerms",
    "CouponView",
    "Done",
    "Earned",
    "Entry",
    "InFlight",
    "IssuedHandle",
    "Lot",
    "Op",
    "QueueFull",
    "Redeemed",
    "RedemptionView",
    "Refused",
    "ScannedCredential",
    "Status",
    "TermsConflict",
    "Vault",
    "VaultError",
    "VaultUnavailable",
    "Voided",
    "WalletView",
    "bucket_of",
]
