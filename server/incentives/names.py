"""What the city calls the codes that rules name: bands, coupon templates, lotteries."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from server.incentives.rules import Names, Rule, mentions
from server.kit.db import fetch
from server.people.city_lists import bands_on

_TEMPLATES = """
SELECT DISTINCT ON (template_id) template_id AS id, title FROM coupon_template_version
WHERE template_id = ANY($1::bigint[]) ORDER BY template_id, live_at DESC NULLS LAST, number DESC
"""


async def names_of(rules: Iterable[Rule], today: date) -> Names:
    """The names of what these rules mention, as they are today. A code without a name is left out."""
    mentioned = [mentions(rule) for rule in rules]
    bands = {band.code: band.name for band in await bands_on(today)} if any(one.bands for one in mentioned) else {}
    templates = sorted({int(one.template_id) for one in mentioned if one.template_id})
    titles = await fetch(_TEMPLATES, templates) if templates else []
    lotteries = sorted({int(one.lottery_id) for one in mentioned if one.lottery_id})
    draws = await fetch("SELECT id, title FROM lottery WHERE id = ANY($1::bigint[])", lotteries) if lotteries else []
    return Names(bands=bands, templates=_by_id(titles), lotteries=_by_id(draws))


def _by_id(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {str(row["id"]): row["title"] for row in rows}
