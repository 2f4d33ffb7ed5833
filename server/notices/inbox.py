"""The inbox: what residents read of their notices."""

from __future__ import annotations

from dataclasses import dataclass

from server.kit.clock import Clock
from server.kit.db import fetch
from server.notices.errors import NoticeNotFound
from server.notices.models import Notice


@dataclass(frozen=True, slots=True)
class InboxPage:
    """Some notices, newest first; `unread` counts all of the resident's."""

    rows: list[Notice]
    unread: int


class InboxService:
    """Each resident sees the own notices and no other."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def page(self, resident_id: int, *, before: int | None, limit: int) -> InboxPage:
        """Up to `limit` notices with an id below `before`, newest first."""
        mine = Notice.filter(resident_id=resident_id)
        chosen = mine if before is None else mine.filter(id__lt=before)
        rows = await chosen.order_by("-id").limit(limit)
        return InboxPage(rows, await mine.filter(read_at=None).count())

    async def read(self, resident_id: int, notice_id: int) -> Notice:
        """Marks one as read; the first time counts. Raises NoticeNotFound, also for another resident's."""
        await fetch(
            "UPDATE notice SET read_at = greatest($3, created_at) WHERE id = $1 AND resident_id = $2"
            " AND read_at IS NULL RETURNING id",
            notice_id,
            resident_id,
            self._clock.now(),
        )
        row = await Notice.get_or_none(id=notice_id, resident_id=resident_id)
        if row is None:
            raise NoticeNotFound
        return row
