"""Grants: how many WeChat messages an identity has asked for. WeChat delivers one message for each accept and refuses
the next (43101); counting the accepts is how we know beforehand.

The count may be too high, when a phone told us twice or the person has withdrawn at WeChat: the first refusal sets it
to zero. It is never the reason why a notice is missing in the inbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from server.kit.clock import Clock
from server.kit.db import transaction
from server.notices.errors import MessageTemplateUnknown
from server.notices.models import NoticeGrant
from server.notices.wording import Kind, MessageTemplate

#: The most that is counted (as in the table's CHECK).
MOST: Final = 100

#: What wx.requestSubscribeMessage says of a template: the three accepts are one message each.
Choice = Literal["accept", "acceptWithAudio", "acceptWithAlert", "reject", "ban", "filter"]

_ADD: Final = (
    "INSERT INTO notice_grant (identity_id, template_id, balance, changed_at) VALUES ($1, $2, 1, $3)"
    " ON CONFLICT (identity_id, template_id)"
    " DO UPDATE SET balance = least(notice_grant.balance + 1, $4), changed_at = EXCLUDED.changed_at"
)


@dataclass(frozen=True, slots=True)
class Grant:
    """`left` messages of this kind may be sent to this identity."""

    kind: Kind
    template_id: str
    left: int


class GrantService:
    """What an identity has allowed; `templates` are those of this installation, by kind."""

    def __init__(self, *, clock: Clock, templates: Mapping[Kind, MessageTemplate]) -> None:
        self._clock, self._templates = clock, templates

    async def left(self, identity_id: int) -> list[Grant]:
        """Every template a phone may ask for, with what is left of earlier accepts."""
        rows = await NoticeGrant.filter(identity_id=identity_id)
        counts = {row.template_id: row.balance for row in rows}
        return [Grant(kind, one.id, counts.get(one.id, 0)) for kind, one in self._templates.items()]

    async def note(self, identity_id: int, choices: Mapping[str, Choice]) -> list[Grant]:
        """Counts the accepts among `choices` (by template id), all or none; answers as `left`. Raises
        MessageTemplateUnknown."""
        known = {one.id for one in self._templates.values()}
        if not choices.keys() <= known:
            raise MessageTemplateUnknown(field="results")
        async with transaction() as tx:
            for template_id in sorted(choices):
                if choices[template_id].startswith("accept"):
                    await tx.execute_query(_ADD, [identity_id, template_id, self._clock.now(), MOST])
        return await self.left(identity_id)
