"""The room's parts, put together from what an installation has set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from server.kit.clock import Clock
from server.kit.crypto import Envelope
from server.kit.pace import UNBOUND, Pace
from server.notices.grants import GrantService
from server.notices.inbox import InboxService
from server.notices.sending import MessagePort, NoticeSender
from server.notices.wording import COUPON, POINTS, Kind, MessageTemplate, leads_of
from server.notices.writing import NoticeWriter
from wallet import Vault


class NoticeService:
    """`inbox` and `grants` for residents, `writer` and `sender` for the worker.

    `*_days`: leads such as `30,7`; `*_message`: WeChat's template and its keywords, "" for none (see
    `MessageTemplate.parse`).
    """

    def __init__(
        self,
        *,
        clock: Clock,
        vault: Vault,
        wechat: MessagePort,
        envelope: Envelope,
        coupon_title: Callable[[int], Awaitable[str]],
        points_days: str,
        coupon_days: str,
        points_message: str = "",
        coupon_message: str = "",
        message_page: str = "",
        message_hours: tuple[int, int] = (0, 24),
        messages_per_second: int = 0,
        pace: Pace = UNBOUND,
    ) -> None:
        parsed: dict[Kind, MessageTemplate | None] = {
            POINTS: MessageTemplate.parse(points_message),
            COUPON: MessageTemplate.parse(coupon_message),
        }
        templates: dict[Kind, MessageTemplate] = {kind: one for kind, one in parsed.items() if one is not None}
        self.inbox = InboxService(clock=clock)
        self.grants = GrantService(clock=clock, templates=templates)
        self.writer = NoticeWriter(
            vault=vault,
            clock=clock,
            templates=templates,
            points_leads=leads_of(points_days),
            coupon_leads=leads_of(coupon_days),
            coupon_title=coupon_title,
            pace=pace,
        )
        self.sender = NoticeSender(
            clock=clock,
            wechat=wechat,
            envelope=envelope,
            templates=templates,
            hours=message_hours,
            page=message_page,
            pace=Pace(per_second=messages_per_second),
        )
