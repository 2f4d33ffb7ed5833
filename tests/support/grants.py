"""Coupons to give and residents to give them to, on the worker's services of a test's own database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from server.incentives.commands import Signed, TemplateDraft
from server.incentives.grants.jobs import JobView, Order
from server.kit.db import fetch, transaction
from server.kit.jobs import run_due
from server.services import Services
from tests.support.patience import until

MAKER, CHECKER, THIRD = Signed(1, "r-1"), Signed(2, "r-2"), Signed(3, "r-3")
DOCUMENT = "澄信办〔2026〕7号"

_ENROL = """
INSERT INTO resident (id_number_hmac, id_number_sealed, name_sealed, bound_at)
SELECT sha256(gen_random_uuid()::text::bytea), sha256('x') || sha256('y'), sha256('x') || sha256('y'),
  coalesce($2::timestamptz, vault.now())
FROM generate_series(1, $1) RETURNING id
"""


async def enrol(count: int, at: datetime | None = None) -> list[int]:
    """Residents without a wallet, enrolled now or then; their ids in order."""
    return sorted(row["id"] for row in await fetch(_ENROL, count, at))


def template_draft(services: Services, **changes: Any) -> TemplateDraft:
    """Free coupons, 5 yuan off."""
    now = services.clock.now()
    return TemplateDraft(
        **{
            "title": "慰问券", "document": DOCUMENT, "kind": "amount_off", "stock": 1_000, "face_value_fen": 500,
            "starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=30), **changes,
        }
    )  # fmt: skip


async def live_template(services: Services, **changes: Any) -> int:
    """A live template of free coupons, 5 yuan off; its id."""
    made = await services.templates.create(template_draft(services, **changes), MAKER)
    await services.templates.submit(made.row.id, MAKER)
    return (await services.templates.approve(made.row.id, CHECKER)).row.id


async def listed(services: Services, residents: Sequence[int]) -> int:
    """A list of these residents, as an office would upload it; its id."""
    content = "resident_id\n" + "".join(f"{one}\n" for one in residents)
    return (await services.recipient_lists.take("名单", content.encode(), MAKER)).row.id


async def ordered(
    services: Services, residents: Sequence[int], *, per_second: int = 10_000, template: int | None = None
) -> JobView:
    """A grant job for these residents, not approved yet."""
    order = Order(
        template or await live_template(services, stock=max(len(residents), 1)), await listed(services, residents),
        per_second, DOCUMENT,
    )  # fmt: skip
    return await services.grant_jobs.order(order, MAKER)


async def work(services: Services) -> None:
    """The worker's turns until there is neither a job nor a grant to do now."""

    async def idle() -> bool:
        return not await run_due(services.job_handlers) + await services.grants.redrive()

    await until("nothing left to give", idle)


async def owe(services: Services, resident: int, template: int, source_id: str, source: str = "test") -> bool:
    async with transaction() as tx:
        return await services.grants.owe(tx, resident, template, source, source_id)


async def coupons_of(residents: Sequence[int]) -> dict[int, int]:
    """How many coupons each resident has in the vault."""
    rows = await fetch(
        "SELECT owner, count(*) AS n FROM vault.coupon WHERE owner = ANY($1::bigint[]) GROUP BY owner", list(residents)
    )
    return {row["owner"]: row["n"] for row in rows}
