"""Bodies of the console's merchant routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"\S")]
PersonName = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"\S")]
Town = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"\S")]
Reason = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
Category = Annotated[str, Meta(min_length=1, max_length=32)]
LicenceNumber = Annotated[str, Meta(pattern=r"^[0-9A-HJ-NPQRTUWXY]{18}$", description="统一社会信用代码")]


class CreateMerchantRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`owner_name` is the work name of the first owner, who joins by the invitation in the reply."""

    name: Name
    owner_name: PersonName
    licence_number: LicenceNumber | None = None
    category: Category | None = None


class CategoryRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A code of the city's list; null: of none."""

    category: Category | None


class CategoryReply(Struct, frozen=True):
    code: str
    name: str


class CategoryListReply(Struct, frozen=True):
    items: list[CategoryReply]


class OwnerInvitationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    owner_name: PersonName


class CreateStoreRequest(Struct, frozen=True, forbid_unknown_fields=True):
    town: Town
    name: Name


class ReasonRequest(Struct, frozen=True, forbid_unknown_fields=True):
    reason: Reason


class StoreReply(Struct, frozen=True):
    """status: open or closed."""

    id: str
    merchant_id: str
    town: str
    name: str
    status: str


class MerchantReply(Struct, frozen=True):
    """status: active or suspended; `status_reason` is what the last change said."""

    id: str
    name: str
    licence_number: str | None
    category: str | None
    status: str
    status_reason: str
    created_at: datetime
    stores: list[StoreReply]


class OwnerInvitationReply(Struct, frozen=True):
    """`invitation_code` is shown this once."""

    merchant_id: str
    invitation_code: str
    expires_at: datetime


class MerchantCreatedReply(Struct, frozen=True):
    merchant: MerchantReply
    owner_invitation: OwnerInvitationReply


class MerchantPageReply(Struct, frozen=True):
    items: list[MerchantReply]
    next_cursor: str | None


class MerchantPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cursor` is the `next_cursor` of the page before."""

    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
