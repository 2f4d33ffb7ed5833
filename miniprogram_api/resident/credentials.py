"""A resident shows a coupon as a dynamic code."""

from __future__ import annotations

import base64
from uuid import UUID

from miniprogram_api.schemas.credentials import (
    BurnReply,
    BurnRequest,
    CredentialReply,
    CredentialsReply,
    CredentialsRequest,
    PictureRequest,
)
from miniprogram_api.schemas.uuids import uuid_of
from server.scenes.errors import CredentialNotFound, CredentialNotOpen
from server.web.routing import Call, Callers, Limit, Reply, Router
from wallet import statuses
from wallet.credentials import STEP_S

router = Router(prefix="/api/mp/v1", tag="居民 · 动态码")


@router.post(
    "/credentials",
    summary="出示电子券",
    body=CredentialsRequest,
    replies={201: CredentialsReply},
    caller=Callers.resident,
    limit=Limit("credentials", per_minute=60, by="resident", setting="resident_per_minute"),
    errors=(statuses.COUPON_STATE, statuses.COUPON_EXPIRED, statuses.WALLET_MISSING),
    tells_vault=True,
)
async def issue(call: Call, body: CredentialsRequest) -> Reply:
    """Handles and seeds from which the phone computes the 20 digits itself, a new code every 30 seconds, with or
    without a network."""
    service = call.services.showing
    showings = await service.issue(call.resident_id, uuid_of(body.subject.id, "subject.id"), body.count)
    return Reply.created(
        CredentialsReply(
            credentials=[
                CredentialReply(
                    str(one.credential_id), f"{one.handle:010d}", base64.b64encode(one.seed).decode(), one.expires_at
                )
                for one in showings
            ],
            prefix=service.prefix,
            step_s=STEP_S,
            server_time=call.services.clock.now(),
        ),
        {"Cache-Control": "no-store"},
    )


@router.post(
    "/credentials/<credential_id:uuid>/picture",
    summary="动态码图片",
    body=PictureRequest,
    replies={200: bytes},
    content_type="image/png",
    caller=Callers.resident,
    limit=Limit("picture", per_minute=20, by="resident"),
    errors=(CredentialNotFound, CredentialNotOpen),
)
async def draw(call: Call, body: PictureRequest, credential_id: UUID) -> Reply:
    """The code of this moment as a QR picture, for pages without a script; good for the rest of its 30-second step
    and the next."""
    picture = await call.services.showing.picture(call.resident_id, credential_id, body.format)
    return Reply.file(picture, "image/png" if body.format == "png" else "image/svg+xml")


@router.post(
    "/credentials/<credential_id:uuid>/burn",
    summary="作废正在出示的码",
    body=BurnRequest,
    replies={200: BurnReply},
    caller=Callers.resident,
    tells_vault=True,
)
async def burn(call: Call, body: BurnRequest, credential_id: UUID) -> Reply:
    """The phone saw a screenshot or the page was left: the code dies at once, the coupon stays."""
    return Reply.ok(BurnReply(await call.services.showing.burn(call.resident_id, credential_id)))
