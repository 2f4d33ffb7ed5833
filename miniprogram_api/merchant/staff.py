"""Staff of a merchant: invited, joined, listed, revoked."""

from __future__ import annotations

import msgspec

from miniprogram_api.schemas.merchant_sessions import StoreReply
from miniprogram_api.schemas.staff import (
    InvitationReply,
    InviteRequest,
    JoinedReply,
    JoinRequest,
    PageQuery,
    StaffPageReply,
    StaffReply,
)
from server.merchants.errors import (
    AlreadyStaff,
    InvitationRejected,
    InvitationStoreRequired,
    LastOwner,
    MerchantSuspended,
    RoleTooLow,
    StaffNotFound,
    StoreClosed,
    StoreNotFound,
)
from server.merchants.views import StaffView
from server.people.wechat.errors import (
    LoginCodeRejected,
    LoginCodeUsed,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatUnreachable,
    WeChatUserBlocked,
)
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/mp/v1", tag="商户 · 店员")


@router.post(
    "/merchant/staff/invitations",
    summary="邀请店员",
    body=InviteRequest,
    replies={201: InvitationReply},
    caller=Callers.staff("owner", "manager"),
    errors=(RoleTooLow, StoreNotFound, MerchantSuspended, InvitationStoreRequired),
    limit=Limit("staff_invite", per_minute=30, by="session"),
)
async def invite(call: Call, body: InviteRequest) -> Reply:
    """A one-use code, valid for seven days. Managers invite cashiers and auditors into their stores, owners anyone."""
    issued = await call.services.merchants.staff.invite(
        call.caller,
        role=body.role,
        display_name=body.display_name.strip(),
        store_id=None if body.store_id is None else int(body.store_id),
        request_id=call.request_id,
    )
    return Reply.created(
        InvitationReply(
            invitation_code=issued.code,
            role=issued.role,
            store_id=None if issued.store_id is None else str(issued.store_id),
            expires_at=issued.expires_at,
        )
    )


@router.post(
    "/merchant/staff/join",
    summary="凭邀请码加入商户",
    body=JoinRequest,
    replies={201: JoinedReply},
    caller=Callers.anonymous,
    errors=(
        InvitationRejected,
        AlreadyStaff,
        MerchantSuspended,
        StoreClosed,
        LoginCodeRejected,
        LoginCodeUsed,
        WeChatUserBlocked,
        WeChatBusy,
        WeChatUnreachable,
        WeChatMisconfigured,
    ),
    limit=Limit("staff_join", per_minute=10, by="ip"),
)
async def join(call: Call, body: JoinRequest) -> Reply:
    """A WeChat login and an invitation make a staff member. The same person with the same code gets the same answer."""
    joined = await call.services.merchants.join(body.code, body.invitation_code, request_id=call.request_id)
    stores = await call.services.merchants.staff.workplaces(joined)
    return Reply.created(
        JoinedReply(
            **msgspec.structs.asdict(staff_reply(joined)),
            stores=[StoreReply(str(store.id), store.town, store.name, store.status) for store in stores],
        )
    )


@router.get(
    "/merchant/staff",
    summary="店员列表",
    query=PageQuery,
    replies={200: StaffPageReply},
    caller=Callers.staff("owner", "manager", "auditor"),
    errors=(RoleTooLow,),
)
async def list_staff(call: Call, query: PageQuery) -> Reply:
    """The merchant's staff; a manager of some stores sees those who work there."""
    page = await call.services.merchants.staff.page(call.caller, cursor=query.cursor, limit=query.limit)
    return Reply.ok(StaffPageReply([staff_reply(item) for item in page.items], page.next_cursor))


@router.post(
    "/merchant/staff/<staff_id:int>/revoke",
    summary="停用店员",
    replies={200: StaffReply},
    caller=Callers.staff("owner", "manager"),
    errors=(StaffNotFound, RoleTooLow, LastOwner),
    tells_vault=True,
)
async def revoke(call: Call, staff_id: int) -> Reply:
    """The person and their phones accept nothing from now on. Doing it twice answers the same."""
    revoked = await call.services.merchants.staff.revoke(call.caller, staff_id, request_id=call.request_id)
    return Reply.ok(staff_reply(revoked))


def staff_reply(staff: StaffView) -> StaffReply:
    """A staff member as the back office shows it."""
    return StaffReply(
        id=str(staff.id),
        merchant_id=str(staff.merchant_id),
        display_name=staff.display_name,
        role=staff.role,
        all_stores=staff.all_stores,
        store_ids=[str(store_id) for store_id in staff.store_ids],
        status=staff.status,
        created_at=staff.created_at,
    )
