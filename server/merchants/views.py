"""What the merchants' room answers. None of it holds an openid, a resident, a score or a band."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class StoreView:
    id: int
    merchant_id: int
    town: str
    name: str
    status: str


@dataclass(frozen=True)
class MerchantView:
    id: int
    name: str
    licence_number: str | None
    category: str | None
    status: str
    status_reason: str
    created_at: datetime
    stores: tuple[StoreView, ...] = ()


@dataclass(frozen=True)
class StaffView:
    """`display_name` is the work name the inviter wrote; `store_ids` is empty when `all_stores`."""

    id: int
    merchant_id: int
    display_name: str
    role: str
    all_stores: bool
    store_ids: tuple[int, ...]
    status: str
    created_at: datetime


@dataclass(frozen=True)
class TerminalView:
    id: int
    merchant_id: int
    store_id: int
    kind: str
    label: str
    staff_id: int | None
    status: str
    created_at: datetime
    enrolled_at: datetime | None


@dataclass(frozen=True)
class InvitationIssued:
    """`code` is shown once and stored nowhere."""

    code: str
    merchant_id: int
    store_id: int | None
    role: str
    expires_at: datetime


@dataclass(frozen=True)
class EnrolmentIssued:
    """`code` is shown once and stored nowhere."""

    terminal: TerminalView
    code: str
    expires_at: datetime


@dataclass(frozen=True)
class TerminalEnrolled:
    """`secret` is shown once and stored nowhere; the terminal keeps it and exchanges it for short tokens."""

    terminal: TerminalView
    secret: str
