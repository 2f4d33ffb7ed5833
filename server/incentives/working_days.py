"""Tells the vault on which days China works, so that it can judge coupons that are for working days or holidays.

The arrangement of a year is what the rules know (`rules.windows.CHINA`). In a year that is not known yet people work
from Monday to Friday, in the vault as in the rules.
"""

from __future__ import annotations

from datetime import date

import structlog

from server.incentives.rules.windows import CHINA
from wallet import Vault

DECEMBER = 12

log = structlog.get_logger(__name__)


async def tell(vault: Vault, today: date) -> int:
    """Brings the vault's calendar up to what is known of last year and later; returns how many years that changed. In
    December it complains when next year's arrangement is not known."""
    wanted = today.year + (today.month == DECEMBER)
    if wanted not in CHINA.years:
        log.warning("working_days_unknown", year=wanted)
    changed = 0
    for year in sorted(one for one in CHINA.years if one >= today.year - 1):
        days = ([day for day in of if day.year == year] for of in (CHINA.holidays, CHINA.workdays))
        changed += await vault.put_calendar_year(year, *days)
    return changed
