"""The resident's own data: real name, phone, and what is known."""

from __future__ import annotations

from miniprogram_api.present import mask_id_number, mask_name, mask_phone
from miniprogram_api.schemas.me import IdentityRequest, MeReply, PhoneRequest
from server.people.errors import (
    IdentityAlreadyBound,
    IdNumberInvalid,
    MinorRefused,
    NameInvalid,
    RealNameLocked,
    RealNameMismatch,
)
from server.people.realname import RealNameUnavailable
from server.people.residents import Profile
from server.people.wechat.errors import PhoneCodeRejected, WeChatBusy, WeChatMisconfigured, WeChatUnreachable
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 我的")


@router.get("/me", summary="我的信息", replies={200: MeReply}, caller=Callers.identity)
async def show(call: Call) -> Reply:
    """The caller's own data, masked."""
    return await _me(call)


@router.post(
    "/me/identity",
    summary="实名认证",
    body=IdentityRequest,
    replies={200: MeReply},
    caller=Callers.identity,
    errors=(
        NameInvalid,
        IdNumberInvalid,
        MinorRefused,
        RealNameMismatch,
        RealNameLocked,
        RealNameUnavailable,
        IdentityAlreadyBound,
    ),
    limit=Limit("identity", per_minute=10, by="session"),
)
async def bind_identity(call: Call, body: IdentityRequest) -> Reply:
    """Bind the real name and open the wallet. Repeating it with the same person answers the same."""
    await call.services.residents.bind_identity(_identity(call), body.name, body.id_number)
    return await _me(call)


@router.post(
    "/me/phone",
    summary="绑定手机号",
    body=PhoneRequest,
    replies={200: MeReply},
    caller=Callers.identity,
    errors=(PhoneCodeRejected, WeChatBusy, WeChatUnreachable, WeChatMisconfigured),
    limit=Limit("phone", per_minute=10, by="session"),
)
async def add_phone(call: Call, body: PhoneRequest) -> Reply:
    """Keep the phone number that the resident released with WeChat's button."""
    await call.services.residents.add_phone(_identity(call), body.code)
    return await _me(call)


async def _me(call: Call) -> Reply:
    return Reply.ok(present(await call.services.residents.profile(_identity(call))))


def _identity(call: Call) -> int:
    if call.caller.identity_id is None:
        raise TypeError("Callers.identity promises an identity")
    return call.caller.identity_id


def present(profile: Profile) -> MeReply:
    """The profile as its owner may see it on a screen that others may see too."""
    return MeReply(
        identity_id=str(profile.identity_id),
        resident_id=str(profile.resident_id) if profile.resident_id is not None else None,
        bound=profile.resident_id is not None,
        bound_at=profile.bound_at,
        name=mask_name(profile.name) if profile.name else None,
        id_number=mask_id_number(profile.id_number) if profile.id_number else None,
        phone=mask_phone(profile.phone) if profile.phone else None,
    )
