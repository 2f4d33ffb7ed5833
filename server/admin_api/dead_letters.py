"""Dead letters in the console: what the worker could not do, tried again or given up."""

from __future__ import annotations

from server.admin_api.incentive_replies import signed
from server.admin_api.schemas.dead_letters import (
    DeadLetterPageReply,
    DeadLetterQuery,
    DeadLetterReply,
    DiscardRequest,
)
from server.kit import dead_letters
from server.kit.dead_letters import DeadLetter, DeadLetterNotFound
from server.kit.paging import cursor_after, cursor_number
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 死信")


@router.get(
    "/dead-letters",
    summary="死信列表",
    query=DeadLetterQuery,
    replies={200: DeadLetterPageReply},
    caller=Callers.admin("dead_letter.read"),
)
async def list_dead_letters(call: Call, query: DeadLetterQuery) -> Reply:
    """Newest first; events and jobs that failed at every try."""
    letters = await dead_letters.page(cursor_number(query.cursor), query.limit, query.consumer)
    following = cursor_after(letters, query.limit, lambda row: row.id)
    return Reply.ok(DeadLetterPageReply([_reply(letter) for letter in letters], following))


@router.post(
    "/dead-letters/<letter_id:int>/replay",
    summary="重试死信",
    replies={200: DeadLetterReply},
    caller=Callers.admin("dead_letter.manage"),
    errors=(DeadLetterNotFound,),
)
async def replay_dead_letter(call: Call, letter_id: int) -> Reply:
    """Tried again within seconds; events that wait behind it follow in order."""
    who = signed(call)
    letter = await dead_letters.replay(letter_id, who.actor, call.services.clock.now(), who.request_id)
    return Reply.ok(_reply(letter))


@router.post(
    "/dead-letters/<letter_id:int>/discard",
    summary="放弃死信",
    body=DiscardRequest,
    replies={200: DeadLetterReply},
    caller=Callers.admin("dead_letter.manage"),
    errors=(DeadLetterNotFound,),
)
async def discard_dead_letter(call: Call, body: DiscardRequest, letter_id: int) -> Reply:
    """Given up for good; events that wait behind it go on."""
    who = signed(call)
    letter = await dead_letters.discard(letter_id, body.reason, who.actor, call.services.clock.now(), who.request_id)
    return Reply.ok(_reply(letter))


def _reply(letter: DeadLetter) -> DeadLetterReply:
    return DeadLetterReply(
        str(letter.id), letter.consumer, letter.stream, letter.key, letter.payload, letter.error, letter.attempts,
        letter.waiting, letter.first_failed_at, letter.last_failed_at,
    )  # fmt: skip
