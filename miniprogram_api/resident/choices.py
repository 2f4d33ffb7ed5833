"""What the resident chooses for himself: personalisation and interests."""

from __future__ import annotations

from miniprogram_api.schemas.choices import ChoicesReply, ChoicesRequest, InterestReply
from server.people import city_lists
from server.people.choices import Choices
from server.people.errors import ResidentNotFound
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 我的")


@router.get("/me/choices", summary="我的选择", replies={200: ChoicesReply}, caller=Callers.resident)
async def show(call: Call) -> Reply:
    """What holds now. Personalised is off until the resident turns it on; campaigns and stock are the same either
    way."""
    return await _reply(await call.services.choices.get(call.resident_id))


@router.put(
    "/me/choices",
    summary="修改我的选择",
    body=ChoicesRequest,
    replies={200: ChoicesReply},
    caller=Callers.resident,
    errors=(ResidentNotFound,),
)
async def choose(call: Call, body: ChoicesRequest) -> Reply:
    """Replaces what was chosen, at once. Turned off, no segment by band or interest picks the resident any more."""
    chosen = await call.services.choices.choose(
        call.resident_id, personalised=body.personalised, interests=body.interests
    )
    return await _reply(chosen)


async def _reply(chosen: Choices) -> Reply:
    offered = [InterestReply(code, name) for code, name in (await city_lists.interests()).items()]
    return Reply.ok(
        ChoicesReply(chosen.personalised, list(chosen.interests), chosen.version, chosen.chosen_at, offered)
    )
