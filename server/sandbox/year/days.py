"""The days of the year that are lived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from server.sandbox.year.plan import CLOSING, at
from server.sandbox.year.story import Story

#: Days on which something happens, in order, each with what it is.
Day = tuple[datetime, str, Callable[[Story], Awaitable[None]]]
DAYS: Final[tuple[Day, ...]] = (
    (at("01-05 10:00"), "开通", Story.opening),
    (at("01-23 11:30"), "一月", Story.month),
    (at("02-10 12:00"), "领红包", Story.red_claims),
    (at("02-18 11:00"), "春节", Story.red_days),
    (at("03-20 15:00"), "三月, 后来者", Story.late_joiners),
    (at("04-10 12:00"), "限量抢兑", Story.rush),
    (at("04-14 12:00"), "开奖", Story.draw),
    (at("05-22 12:10"), "人群发放", Story.gifts),
    (at("06-24 16:00"), "兑换码", Story.vouchers),
    (at("07-22 11:15"), "预算用尽", Story.summer),
    (at("08-12 12:00"), "紧急停止", Story.stop),
    (at("08-14 10:00"), "恢复", Story.resume),
    (at("09-23 16:00"), "名单发放", Story.stars),
    (at("10-21 12:20"), "十月, 国庆", Story.national),
    (at("11-20 15:00"), "十一月", Story.month),
    (at("12-18 12:00"), "十二月", Story.month),
    (CLOSING, "年终", Story.closing),
)
