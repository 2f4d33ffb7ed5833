"""Where a coupon can be used: before it is claimed by its template, afterwards by the terms it was claimed under."""

from __future__ import annotations

from uuid import UUID

from miniprogram_api.schemas.places import PlacePageReply, PlaceQuery, PlaceReply
from server.incentives.errors import CouponNotFound, TemplateNotFound
from server.incentives.templates import Benefit
from server.kit.paging import cursor_after, cursor_number
from server.merchants.places import open_places
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 电子券")


@router.get(
    "/coupon-templates/<template_id:int>/places",
    summary="电子券可用门店",
    query=PlaceQuery,
    replies={200: PlacePageReply},
    caller=Callers.resident,
    errors=(TemplateNotFound,),
)
async def list_template_places(call: Call, query: PlaceQuery, template_id: int) -> Reply:
    """The open stores where a coupon claimed now could be used."""
    templates = call.services.templates
    return await _page(query, await templates.benefit(await templates.live_terms(template_id)))


@router.get(
    "/coupons/<coupon_id:uuid>/places",
    summary="我的电子券可用门店",
    query=PlaceQuery,
    replies={200: PlacePageReply},
    caller=Callers.resident,
    errors=(CouponNotFound,),
)
async def list_coupon_places(call: Call, query: PlaceQuery, coupon_id: UUID) -> Reply:
    """The open stores where this coupon of the resident can be used."""
    return await _page(query, (await call.services.coupons.get(call.resident_id, coupon_id)).benefit)


async def _page(query: PlaceQuery, benefit: Benefit) -> Reply:
    after = cursor_number(query.cursor) or 0
    rows = await open_places(benefit.merchants, benefit.stores, town=query.town, after=after, limit=query.limit)
    items = [PlaceReply(str(one.store_id), one.name, one.town, str(one.merchant_id), one.merchant_name) for one in rows]
    return Reply.ok(PlacePageReply(items, cursor_after(rows, query.limit, lambda row: row.store_id)))
