"""Merchants and stores in the console."""

from __future__ import annotations

from server.admin_api.schemas.merchants import (
    CategoryListReply,
    CategoryReply,
    CategoryRequest,
    CreateMerchantRequest,
    CreateStoreRequest,
    MerchantCreatedReply,
    MerchantPageQuery,
    MerchantPageReply,
    MerchantReply,
    OwnerInvitationReply,
    OwnerInvitationRequest,
    ReasonRequest,
    StoreReply,
)
from server.kit.audit import Actor
from server.merchants.errors import (
    MerchantCategoryUnknown,
    MerchantExists,
    MerchantNotFound,
    StoreExists,
    StoreNotFound,
)
from server.merchants.views import InvitationIssued, MerchantView, StoreView
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 商户")


@router.post(
    "/merchants",
    summary="登记商户",
    body=CreateMerchantRequest,
    replies={201: MerchantCreatedReply},
    caller=Callers.admin("merchant.manage"),
    errors=(MerchantExists, MerchantCategoryUnknown),
)
async def create_merchant(call: Call, body: CreateMerchantRequest) -> Reply:
    """A new merchant and the invitation of its first owner, valid for seven days."""
    merchant, owner = await call.services.merchants.registry.create_merchant(
        name=body.name.strip(),
        owner_name=body.owner_name.strip(),
        licence_number=body.licence_number,
        category=body.category,
        actor=_actor(call),
        request_id=call.request_id,
    )
    return Reply.created(MerchantCreatedReply(merchant_reply(merchant), _invitation_reply(owner)))


@router.get(
    "/merchants",
    summary="商户列表",
    query=MerchantPageQuery,
    replies={200: MerchantPageReply},
    caller=Callers.admin("merchant.read"),
)
async def list_merchants(call: Call, query: MerchantPageQuery) -> Reply:
    """Merchants with their stores, in order of registration."""
    page = await call.services.merchants.registry.merchants(cursor=query.cursor, limit=query.limit)
    return Reply.ok(MerchantPageReply([merchant_reply(item) for item in page.items], page.next_cursor))


@router.get(
    "/merchants/<merchant_id:int>",
    summary="商户详情",
    replies={200: MerchantReply},
    caller=Callers.admin("merchant.read"),
    errors=(MerchantNotFound,),
)
async def get_merchant(call: Call, merchant_id: int) -> Reply:
    """One merchant with its stores."""
    return Reply.ok(merchant_reply(await call.services.merchants.registry.merchant(merchant_id)))


@router.put(
    "/merchants/<merchant_id:int>/category",
    summary="设置商户类别",
    body=CategoryRequest,
    replies={200: MerchantReply},
    caller=Callers.admin("merchant.manage"),
    errors=(MerchantNotFound, MerchantCategoryUnknown),
)
async def categorise(call: Call, body: CategoryRequest, merchant_id: int) -> Reply:
    """What kind of business it is, for rules of campaigns; redemptions from now on carry it."""
    merchant = await call.services.merchants.registry.categorise(
        merchant_id, category=body.category, actor=_actor(call), request_id=call.request_id
    )
    return Reply.ok(merchant_reply(merchant))


@router.get(
    "/merchant-categories",
    summary="商户类别名录",
    replies={200: CategoryListReply},
    caller=Callers.admin("merchant.read"),
)
async def list_categories(call: Call) -> Reply:
    """The city's list, set by `chengxin set-lists`."""
    listed = await call.services.merchants.registry.categories()
    return Reply.ok(CategoryListReply([CategoryReply(code, name) for code, name in listed.items()]))


@router.post(
    "/merchants/<merchant_id:int>/owner-invitations",
    summary="重新邀请商户负责人",
    body=OwnerInvitationRequest,
    replies={201: OwnerInvitationReply},
    caller=Callers.admin("merchant.manage"),
    errors=(MerchantNotFound,),
)
async def invite_owner(call: Call, body: OwnerInvitationRequest, merchant_id: int) -> Reply:
    """Another owner's invitation, for when the first one was lost."""
    owner = await call.services.merchants.registry.invite_owner(
        merchant_id, owner_name=body.owner_name.strip(), actor=_actor(call), request_id=call.request_id
    )
    return Reply.created(_invitation_reply(owner))


@router.post(
    "/merchants/<merchant_id:int>/stores",
    summary="新增门店",
    body=CreateStoreRequest,
    replies={201: StoreReply},
    caller=Callers.admin("merchant.manage"),
    errors=(MerchantNotFound, StoreExists),
)
async def create_store(call: Call, body: CreateStoreRequest, merchant_id: int) -> Reply:
    """A new open store."""
    store = await call.services.merchants.registry.create_store(
        merchant_id, town=body.town.strip(), name=body.name.strip(), actor=_actor(call), request_id=call.request_id
    )
    return Reply.created(store_reply(store))


@router.post(
    "/merchants/<merchant_id:int>/suspend",
    summary="暂停商户",
    body=ReasonRequest,
    replies={200: MerchantReply},
    caller=Callers.admin("merchant.manage"),
    errors=(MerchantNotFound,),
    tells_vault=True,
)
async def suspend(call: Call, body: ReasonRequest, merchant_id: int) -> Reply:
    """No verification or redemption from now on; reads stay. Doing it twice answers the same."""
    merchant = await call.services.merchants.registry.suspend_merchant(
        merchant_id, reason=body.reason.strip(), actor=_actor(call), request_id=call.request_id
    )
    return Reply.ok(merchant_reply(merchant))


@router.post(
    "/merchants/<merchant_id:int>/reopen",
    summary="恢复商户",
    body=ReasonRequest,
    replies={200: MerchantReply},
    caller=Callers.admin("merchant.manage"),
    errors=(MerchantNotFound,),
    tells_vault=True,
)
async def reopen(call: Call, body: ReasonRequest, merchant_id: int) -> Reply:
    """Undo a suspension. Doing it twice answers the same."""
    merchant = await call.services.merchants.registry.reopen_merchant(
        merchant_id, reason=body.reason.strip(), actor=_actor(call), request_id=call.request_id
    )
    return Reply.ok(merchant_reply(merchant))


@router.post(
    "/stores/<store_id:int>/close",
    summary="关闭门店",
    replies={200: StoreReply},
    caller=Callers.admin("merchant.manage"),
    errors=(StoreNotFound,),
    tells_vault=True,
)
async def close_store(call: Call, store_id: int) -> Reply:
    """Nothing is accepted there from now on. Doing it twice answers the same."""
    store = await call.services.merchants.registry.close_store(store_id, actor=_actor(call), request_id=call.request_id)
    return Reply.ok(store_reply(store))


@router.post(
    "/stores/<store_id:int>/reopen",
    summary="恢复门店",
    replies={200: StoreReply},
    caller=Callers.admin("merchant.manage"),
    errors=(StoreNotFound,),
    tells_vault=True,
)
async def reopen_store(call: Call, store_id: int) -> Reply:
    """Undo a closing. Doing it twice answers the same."""
    store = await call.services.merchants.registry.reopen_store(
        store_id, actor=_actor(call), request_id=call.request_id
    )
    return Reply.ok(store_reply(store))


def store_reply(store: StoreView) -> StoreReply:
    """A store as the console shows it."""
    return StoreReply(str(store.id), str(store.merchant_id), store.town, store.name, store.status)


def merchant_reply(merchant: MerchantView) -> MerchantReply:
    """A merchant as the console shows it."""
    return MerchantReply(
        id=str(merchant.id),
        name=merchant.name,
        licence_number=merchant.licence_number,
        category=merchant.category,
        status=merchant.status,
        status_reason=merchant.status_reason,
        created_at=merchant.created_at,
        stores=[store_reply(store) for store in merchant.stores],
    )


def _invitation_reply(issued: InvitationIssued) -> OwnerInvitationReply:
    return OwnerInvitationReply(str(issued.merchant_id), issued.code, issued.expires_at)


def _actor(call: Call) -> Actor:
    return Actor("admin", str(call.caller.admin_id))
