"""What becomes of value in wallets beside campaigns: expiry, notices, corrections."""

from __future__ import annotations

from dataclasses import dataclass

from server.expiry.points import PointsExpiry
from server.incentives.errors import TemplateNotFound
from server.incentives.templates import TemplateService
from server.ledger_office.adjustments import AdjustmentService
from server.ledger_office.desk import WalletDesk
from server.notices.service import NoticeService
from server.services.ground import Ground


@dataclass(frozen=True, kw_only=True)
class Wallets:
    """Points past their day, who is told of it, and what the ledger office does."""

    expiry: PointsExpiry
    notices: NoticeService
    wallet_desk: WalletDesk
    adjustments: AdjustmentService


def wire_wallets(ground: Ground, templates: TemplateService) -> Wallets:
    """Expiry, notices and the ledger office."""
    vault, clock = ground.vault, ground.clock
    return Wallets(
        expiry=PointsExpiry(vault=vault, clock=clock, job_key=ground.job_key, pace=ground.nightly),
        notices=_notices(ground, templates),
        wallet_desk=WalletDesk(vault=vault, clock=clock),
        adjustments=AdjustmentService(vault=vault, clock=clock, job_key=ground.job_key),
    )


def _notices(ground: Ground, templates: TemplateService) -> NoticeService:
    async def coupon_title(template_id: int) -> str:
        try:
            return (await templates.benefit(template_id)).title
        except TemplateNotFound:
            return ""

    settings = ground.settings
    return NoticeService(
        clock=ground.clock,
        vault=ground.vault,
        wechat=ground.wechat,
        envelope=ground.envelope,
        coupon_title=coupon_title,
        points_days=settings.notice_points_days,
        coupon_days=settings.notice_coupon_days,
        points_message=settings.notice_points_message,
        coupon_message=settings.notice_coupon_message,
        message_page=settings.notice_page,
        message_hours=(settings.notice_from_hour, settings.notice_until_hour),
        messages_per_second=settings.notice_per_second,
        pace=ground.nightly,
    )
