"""A lottery's life in the hands of administrators: draft, review, publication by a second person, what may follow."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import fields
from typing import Any, Final

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Q

from server.incentives.commands import Signed
from server.incentives.errors import (
    AlreadyLive,
    AlreadyOver,
    SecondPersonRequired,
    TemplateNotFound,
    WrongStatus,
)
from server.incentives.lottery import draw, second
from server.incentives.lottery.commands import LotteryDraft, check_note
from server.incentives.lottery.errors import (
    BeaconDiffers,
    BeaconNotWanted,
    LotteryNotFound,
    PrizeClaimable,
    PrizeNotLive,
    PrizeStockShort,
)
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import Announcement, Prize, line_of
from server.incentives.lottery.rows import CARRY_JOB, lock, prizes_of, record, snapshot, templates_of
from server.incentives.lottery.second import TITLE_MAX, SecondDraft
from server.incentives.lottery.wording import rules_text
from server.incentives.promises import Promises
from server.incentives.rows import RUNNING
from server.incentives.simulation import change
from server.incentives.templates import TemplateService, left_of
from server.kit.clock import Clock
from server.kit.crypto import Envelope
from server.kit.jobs import enqueue

#: What tells a copy from what it is a copy of.
COPY: Final = "（副本）"
EDITABLE: Final = ("draft", "in_review")


class LotteryService:
    """Drafts, publication, cancelling, and the outside number. What time does is in `drawing`."""

    def __init__(self, *, templates: TemplateService, promises: Promises, clock: Clock, envelope: Envelope) -> None:
        self._templates, self._promises = templates, promises
        self._clock = clock
        self._envelope = envelope

    async def create(self, draft: LotteryDraft, signed: Signed) -> Lottery:
        """Write a draft. Raises InvalidField for what cannot be."""
        draft.check()
        now = self._clock.now()
        async with change(signed) as tx:
            row = await Lottery.create(
                using_db=tx, **draft.columns(), created_by=signed.admin_id, created_at=now, changed_at=now
            )
            await record(tx, "created", row, None, signed, now)
        return row

    async def create_second(self, first_id: int, wanted: SecondDraft, signed: Signed) -> Lottery:
        """Write the draft of a second draw of what was not delivered; see `second`."""
        return await second.create_second(first_id, wanted, signed, self._clock)

    async def edit(self, lottery_id: int, draft: LotteryDraft, signed: Signed, revision: int | None = None) -> Lottery:
        """Replace a draft's content; one under review goes back to draft, and its editor may not publish it."""
        draft.check()
        async with change(signed) as tx:
            row = await lock(tx, lottery_id, revision)
            if row.status == "discarded":
                raise WrongStatus(row.status, *EDITABLE)
            if row.status not in EDITABLE:
                raise AlreadyLive
            second.check_edit(row, draft)
            before = snapshot(row)
            row.update_from_dict({**draft.columns(), "status": "draft", "created_by": signed.admin_id})
            await self._save(tx, "edited", row, before, signed)
        return row

    async def submit(self, lottery_id: int, signed: Signed) -> Lottery:
        """Hand a draft over for review."""
        async with change(signed) as tx:
            row = await lock(tx, lottery_id)
            if row.status != "draft":
                raise WrongStatus(row.status, "draft")
            before = snapshot(row)
            row.status = "in_review"
            await self._save(tx, "submitted", row, before, signed)
        return row

    async def discard(self, lottery_id: int, signed: Signed) -> Lottery:
        """Put away a draft that nobody wants any more, also one under review. After that of a second draw another one
        may be written."""
        async with change(signed) as tx:
            row = await lock(tx, lottery_id)
            if row.status not in EDITABLE:
                raise WrongStatus(row.status, *EDITABLE)
            before = snapshot(row)
            row.status = "discarded"
            await self._save(tx, "discarded", row, before, signed)
        return row

    async def publish(self, lottery_id: int, signed: Signed, revision: int | None = None) -> Lottery:
        """Publish what was reviewed, with the commitment to a fresh secret; refused to its last editor (D35).

        The secret is sealed at once and told to nobody before the draw. Raises PrizeNotLive, PrizeClaimable and
        PrizeStockShort when the prizes cannot be given as they stand.
        """
        seen, left, before_it = await self.get(lottery_id), Counter[int](), Counter[int]()
        if seen.status == "in_review":
            # Before the stock is read, as what is given in between would be in neither; once more under the lock.
            before_it = await self._promises.open(templates_of(seen))
            left = await self._check_prizes(seen)
        async with change(signed) as tx:
            row = await lock(tx, lottery_id, seen.revision if revision is None else revision)
            if row.status == "published" and row.published_by == signed.admin_id:
                return row
            if row.status != "in_review":
                raise WrongStatus(row.status, "in_review")
            if row.created_by == signed.admin_id:
                raise SecondPersonRequired
            now, before = self._clock.now(), snapshot(row)
            if row.closes_at <= now:
                raise AlreadyOver
            # One publication after the other, so that two of them never promise the same coupons.
            await tx.execute_query("SELECT pg_advisory_xact_lock(hashtextextended('lottery_prizes', 0))")
            _check_stock(prizes_of(row), left, before_it | await self._promises.open(templates_of(row), tx=tx))
            secret = secrets.token_bytes(draw.SECRET_BYTES)
            row.status, row.published_by, row.published_at = "published", signed.admin_id, now
            row.commitment = draw.commitment_of(secret)
            row.secret_sealed = self._envelope.seal(secret.hex(), purpose=purpose_of(row.id))
            row.announcement = line_of(self._announcement(row)).decode()
            await self._save(tx, "published", row, before, signed)
            if row.second_of is not None:
                await enqueue(tx, CARRY_JOB, str(row.id), {"lottery_id": str(row.id)})
        return row

    async def cancel(self, lottery_id: int, reason: str, signed: Signed) -> Lottery:
        """Call a published lottery off while nobody can know who would win; the reason is public."""
        told = check_note("reason", reason)
        async with change(signed) as tx:
            row = await lock(tx, lottery_id, alone=True)
            now = self._clock.now()
            if row.status != "published":
                raise WrongStatus(row.status, "published")
            if row.closes_at <= now:
                raise AlreadyOver
            before = snapshot(row)
            row.status, row.cancelled_by, row.cancelled_at, row.cancel_reason = "cancelled", signed.admin_id, now, told
            await self._save(tx, "cancelled", row, before, signed)
        return row

    async def tell_beacon(self, lottery_id: int, value: str, signed: Signed) -> Lottery:
        """Write the outside number down when the list is public. It counts once a second person has told the same;
        until then whoever told it may correct it. Raises BeaconDiffers when the second person read another."""
        told = check_note("value", value, 100)
        async with change(signed) as tx:
            row = await lock(tx, lottery_id)
            if row.beacon_confirmed_by is not None and row.beacon == told:
                return row
            if row.status != "closed" or not row.beacon_source or row.digest is None or row.beacon_confirmed_by:
                raise BeaconNotWanted
            before = snapshot(row)
            if row.beacon_by in (None, signed.admin_id):
                row.beacon, row.beacon_by = told, signed.admin_id
                await self._save(tx, "beacon_told", row, before, signed)
            elif row.beacon != told:
                raise BeaconDiffers
            else:
                row.beacon_confirmed_by = signed.admin_id
                await self._save(tx, "beacon_confirmed", row, before, signed)
        return row

    async def get(self, lottery_id: int) -> Lottery:
        """One lottery. Raises LotteryNotFound."""
        row = await Lottery.get_or_none(id=lottery_id)
        if row is None:
            raise LotteryNotFound
        return row

    async def page(
        self, before_id: int | None, limit: int, status: str | None = None, text: str | None = None
    ) -> list[Lottery]:
        """Up to `limit` lotteries with an id below `before_id`, newest first; `text`: a part of title or document.
        Discarded drafts are told only when they are asked for."""
        wanted = {"id__lt": before_id, "status": status}
        chosen = Lottery.filter(**{name: value for name, value in wanted.items() if value is not None})
        if status is None:
            chosen = chosen.exclude(status="discarded")
        if text is not None:
            chosen = chosen.filter(Q(title__icontains=text) | Q(document__icontains=text))
        return await chosen.order_by("-id").limit(limit)

    async def copy(self, lottery_id: int, signed: Signed) -> Lottery:
        """A new draft with the content of any lottery, its times included: whoever copies sets his own."""
        row = await self.get(lottery_id)
        kept = {one.name: getattr(row, one.name) for one in fields(LotteryDraft) if one.name not in ("title", "prizes")}
        title = f"{row.title[: TITLE_MAX - len(COPY)]}{COPY}"
        return await self.create(LotteryDraft(title=title, prizes=tuple(prizes_of(row)), **kept), signed)

    def text(self, row: Lottery) -> str:
        """The rules in Chinese."""
        return rules_text(row, self._clock.zone)

    def _announcement(self, row: Lottery) -> Announcement:
        assert row.published_at is not None and row.commitment is not None
        return Announcement(
            format="chengxin-lottery/1", id=str(row.id), title=row.title, rules=self.text(row), opens_at=row.opens_at,
            closes_at=row.closes_at, draw_at=row.draw_at, max_tickets=row.max_tickets, prizes=prizes_of(row),
            beacon=row.beacon_source or None, commitment=row.commitment.hex(), published_at=row.published_at,
            second_of=None if row.second_of is None else str(row.second_of),
        )  # fmt: skip

    async def _check_prizes(self, row: Lottery) -> Counter[int]:
        """Every prize is a coupon that can still be given on the day of the draw; how many of each are left."""
        draw_day = row.draw_at.astimezone(self._clock.zone).date()
        left: Counter[int] = Counter()
        for number, template in enumerate(templates_of(row)):
            field = f"prizes[{number}].template_id"
            try:
                view = await self._templates.get(template)
            except TemplateNotFound:
                raise PrizeNotLive(field=field) from None
            last_day = view.version.valid_until
            if view.row.status not in RUNNING or (last_day is not None and last_day <= draw_day):
                raise PrizeNotLive(field=field)
            if view.version.claimable:
                raise PrizeClaimable(field=field)
            left[template] = left_of(view)
        return left

    async def _save(
        self, tx: BaseDBAsyncClient, action: str, row: Lottery, before: dict[str, Any], signed: Signed
    ) -> None:
        row.revision += 1
        row.changed_at = self._clock.now()
        await row.save(using_db=tx)
        await record(tx, action, row, before, signed, row.changed_at)


def purpose_of(lottery_id: int) -> str:
    """What a lottery's secret is sealed for."""
    return f"lottery:{lottery_id}"


def _check_stock(prizes: list[Prize], left: Counter[int], others: Counter[int]) -> None:
    """Raise PrizeStockShort unless what is left covers these prizes beside what others were promised."""
    wanted: Counter[int] = Counter()
    for number, prize in enumerate(prizes):
        template = int(prize.template_id)
        wanted[template] += prize.count
        if left[template] < wanted[template] + others[template]:
            raise PrizeStockShort(field=f"prizes[{number}].count")
