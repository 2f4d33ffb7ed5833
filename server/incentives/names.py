"""What the city calls the codes that rules name (bands, categories, templates, lotteries), and whether its lists have
them; whether templates and lotteries can give is known by `gifts`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from server.incentives.errors import PlaceUnknown
from server.incentives.rules import Names, Rule, RuleRefused, mentions
from server.kit.db import fetch
from server.people.city_lists import bands_on, merchant_categories, towns

_TEMPLATES = """
SELECT DISTINCT ON (template_id) template_id AS id, title FROM coupon_template_version
WHERE template_id = ANY($1::bigint[]) ORDER BY template_id, live_at DESC NULLS LAST, number DESC
"""

_MERCHANTS = "SELECT id FROM merchant WHERE id = ANY($1::bigint[])"
_STORES = "SELECT id, merchant_id FROM store WHERE id = ANY($1::bigint[])"


async def names_of(rules: Iterable[Rule], today: date) -> Names:
    """The names of what these rules mention, as they are today. A code without a name is left out."""
    mentioned = [mentions(rule) for rule in rules]
    bands = {band.code: band.name for band in await bands_on(today)} if any(one.bands for one in mentioned) else {}
    templates = sorted({int(one.template_id) for one in mentioned if one.template_id})
    titles = await fetch(_TEMPLATES, templates) if templates else []
    lotteries = sorted({int(one.lottery_id) for one in mentioned if one.lottery_id})
    draws = await fetch("SELECT id, title FROM lottery WHERE id = ANY($1::bigint[])", lotteries) if lotteries else []
    categories = await merchant_categories() if any(one.categories for one in mentioned) else {}
    return Names(
        bands=bands, categories=categories, templates=_by_id(titles), lotteries=_by_id(draws),
        values={"merchant_category": categories},
    )  # fmt: skip


def _by_id(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {str(row["id"]): row["title"] for row in rows}


async def check_known(rule: Rule, today: date) -> None:
    """Raise RuleRefused when the rule names a band, town or category of merchants off the city's lists."""
    named = mentions(rule)
    if named.categories and (unknown := named.categories - set(await merchant_categories())):
        raise RuleRefused("rule.condition", f"没有这个商户类别：{'、'.join(sorted(unknown))}")
    if named.bands and (unknown := named.bands - {band.code for band in await bands_on(today)}):
        raise RuleRefused("rule.condition", f"没有这个信用等级：{'、'.join(sorted(unknown))}")
    if named.towns and (unknown := named.towns - set(await towns())):
        raise RuleRefused("rule.condition", f"没有这个镇街：{'、'.join(sorted(unknown))}")


async def check_places(merchants: Sequence[int], stores: Sequence[int]) -> None:
    """Raise PlaceUnknown for the first merchant or store that does not exist, by its place in the list, and for a store
    of a merchant that is not among those named: the vault wants both to fit."""
    known = {row["id"] for row in await fetch(_MERCHANTS, list(merchants))} if merchants else set()
    owners = {row["id"]: row["merchant_id"] for row in await fetch(_STORES, list(stores))} if stores else {}
    for place, id in enumerate(merchants):
        if id not in known:
            raise PlaceUnknown(field=f"merchants[{place}]")
    for place, id in enumerate(stores):
        if id not in owners or (merchants and owners[id] not in known):
            raise PlaceUnknown(field=f"stores[{place}]")
